"""Weighted averaging of the sites' weights: streaming, in float64, with the same bits for any order of arrival."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import TrainReply, Weights, parted
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.shares import capped_shares
from server.aggregation.strategy import Aggregate, RoundStart, Strategy
from server.aggregation.update_norm import check_update

# In float32 sizes: the sums and one term are float64, one reply or the mean is float32.
MODELS_AT_ONCE = 2 + 2 + 1


@final
@dataclass(frozen=True)
class WeightedMean(Strategy):
    """Federated averaging (McMahan et al., arXiv 1602.05629): Σ share·weights / Σ share.

    Attributes:
        weighting: a site's share: its number of training cases, or 1.
        maximum_share: the most that any one site counts, of the whole.
        max_update_norm: refuse a reply whose weights lie further than this from what was sent, relative to its norm.
    """

    weighting: Literal["cases", "equal"]
    max_update_norm: float
    maximum_share: float = 1.0

    @property
    def keeps(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def memory_bytes(self, model_bytes: int, replies: int) -> int:  # noqa: ARG002 - one reply at a time
        """As much for any number of replies: one is in memory at a time."""
        return MODELS_AT_ONCE * model_bytes

    def check(self, trained: Mapping[str, Weights], start: RoundStart) -> None:
        """Refuse what moved too far."""
        check_update(trained, start.sent, self.max_update_norm)

    def aggregate(self, start: RoundStart, replies: IncomingReplies) -> Aggregate:  # noqa: ARG002 - from replies alone
        """The mean by network."""
        wanted = {site: self._wanted(reply) for site, reply in replies.replies().items()}
        shares = capped_shares(wanted, self.maximum_share)
        return Aggregate(parted(weighted_mean((shares[site], held) for site, held in replies.weights())))

    def _wanted(self, reply: TrainReply) -> float:
        return float(reply.cases if self.weighting == "cases" else 1)


def weighted_mean(contributions: Iterable[tuple[float, Weights]]) -> dict[str, Tensor]:
    """Σ share·weights / Σ share, summed in float64 in the order given, rounded once to float32.

    Raises:
        Refusal: ``TOO_FEW_SITES`` if there is no contribution.
    """
    sums: dict[str, Tensor] = {}
    total = 0.0
    for share, weights in contributions:
        total += share
        for name, tensor in weights.items():
            term = tensor.to(torch.float64) * share
            sums[name] = sums[name].add_(term) if name in sums else term
    if not total > 0:
        raise Refusal(ExitCode.TOO_FEW_SITES, "no reply to aggregate", where="round", mend="wait for sites to join")
    return {name: (tensor / total).to(torch.float32) for name, tensor in sums.items()}
