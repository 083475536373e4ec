"""Multi-Krum: the mean of the replies that lie closest to their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from common.errors import ExitCode, Refusal
from common.exchange import Weights, parted
from server.aggregation.agreement import agreement_of
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.stored_pieces import PIECE_BYTES
from server.aggregation.strategy import Aggregate, RoundStart, Strategy
from server.aggregation.update_norm import check_update
from server.aggregation.weighted_mean import MODELS_AT_ONCE, weighted_mean


@final
@dataclass(frozen=True)
class Krum(Strategy):
    """Multi-Krum (Blanchard et al., NeurIPS 2017) with f ``hostile_sites`` among m replies, m at least 2f + 3.

    A reply's score is the sum of the squared distances to its m - f - 2 nearest; the m - f - 2 replies of the lowest
    scores are averaged, each counting once. Generator and discriminator come from the same sites: they play one game.

    Memory: what the weighted mean takes, or one piece of all replies, whichever is more.

    Attributes:
        hostile_sites: how many liars it bears.
        max_update_norm: refuse a reply whose weights lie further than this from what was sent, relative to its norm.
    """

    hostile_sites: int
    max_update_norm: float

    @property
    def keeps(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def memory_bytes(self, model_bytes: int, replies: int) -> int:  # noqa: ARG002 - as much for any number of replies
        """The mean's models, or one piece of all replies."""
        return max(MODELS_AT_ONCE * model_bytes, PIECE_BYTES)

    def check(self, trained: Mapping[str, Weights], start: RoundStart) -> None:
        """Refuse what moved too far."""
        check_update(trained, start.sent, self.max_update_norm)

    def aggregate(self, start: RoundStart, replies: IncomingReplies) -> Aggregate:
        """The mean of the chosen.

        Raises:
            Refusal: ``TOO_FEW_SITES`` below 2f + 3 replies.
        """
        chosen = self.chosen(start, replies)
        return Aggregate(parted(weighted_mean((1.0, held) for _, held in replies.weights(chosen))))

    def chosen(self, start: RoundStart, replies: IncomingReplies) -> frozenset[str]:
        """Names of the sites whose replies are averaged; of equal scores the first by name."""
        agreement = agreement_of(start, replies)
        count, fewest = len(agreement.sites), 2 * self.hostile_sites + 3
        if count < fewest:
            what = f"{count} replies, krum needs {fewest}"
            raise Refusal(ExitCode.TOO_FEW_SITES, what, where="round", mend="wait for sites to join")
        near = count - self.hostile_sites - 2
        # The nearest of all is the reply itself, at 0.
        scores = agreement.squared_distances().sort(dim=1).values[:, : near + 1].sum(dim=1).tolist()
        ranked = sorted(zip(scores, agreement.sites, strict=True))
        return frozenset(site for _, site in ranked[:near])
