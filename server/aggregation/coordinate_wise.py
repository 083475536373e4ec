"""Robust means by coordinate: of every number the sites' values are sorted, and the outer ones do not count.

Sites count alike: a weight that a site claims for itself would be a vote for a liar.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import Weights, joined, parted
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.stored_pieces import PIECE_BYTES
from server.aggregation.strategy import Aggregate, RoundStart, Strategy
from server.aggregation.update_norm import check_update


@dataclass(frozen=True)
class CoordinateWise(Strategy, ABC):
    """What trimmed mean and median share.

    Memory: the model that is made, in float32, and one piece of all replies side by side, some tens of megabytes for
    any number of sites (:data:`server.aggregation.stored_pieces.PIECE_BYTES`).

    Attributes:
        max_update_norm: refuse a reply whose weights lie further than this from what was sent, relative to its norm.
    """

    max_update_norm: float

    @property
    def keeps(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def memory_bytes(self, model_bytes: int, replies: int) -> int:  # noqa: ARG002 - a piece is shared by all
        """The model made and one piece of all replies."""
        return model_bytes + PIECE_BYTES

    def check(self, trained: Mapping[str, Weights], start: RoundStart) -> None:
        """Refuse what moved too far."""
        check_update(trained, start.sent, self.max_update_norm)

    def aggregate(self, start: RoundStart, replies: IncomingReplies) -> Aggregate:
        """The model by coordinate, in float64, rounded once to float32.

        Raises:
            Refusal: ``TOO_FEW_SITES`` if what is left out leaves no reply.
        """
        count = len(replies.replies())
        if count < self._fewest():
            mend = "wait for sites to join"
            what = f"{count} replies, {self._fewest()} needed"
            raise Refusal(ExitCode.TOO_FEW_SITES, what, where="round", mend=mend)
        found = {name: torch.empty_like(tensor) for name, tensor in joined(start.sent).items()}
        for piece in replies.pieces():
            found[piece.name].view(-1)[piece.place] = self._middle(piece.values.sort(dim=0).values)
        return Aggregate(parted(found))

    @abstractmethod
    def _fewest(self) -> int:
        """The fewest replies that give a model."""

    @abstractmethod
    def _middle(self, ascending: Tensor) -> Tensor:
        """Of (replies, numbers), ascending along the first axis, the (numbers,) of the model."""


@final
@dataclass(frozen=True)
class TrimmedMean(CoordinateWise):
    """The mean without the ``hostile_sites`` lowest and highest values (Yin et al., arXiv 1803.01498).

    Attributes:
        hostile_sites: how many liars it bears; there must be more than twice as many replies.
    """

    hostile_sites: int

    def _fewest(self) -> int:
        return 2 * self.hostile_sites + 1

    def _middle(self, ascending: Tensor) -> Tensor:
        return ascending[self.hostile_sites : len(ascending) - self.hostile_sites].mean(dim=0)


@final
@dataclass(frozen=True)
class CoordinateMedian(CoordinateWise):
    """The median (Yin et al., arXiv 1803.01498), of an even number of replies the mean of the middle two."""

    def _fewest(self) -> int:
        return 1

    def _middle(self, ascending: Tensor) -> Tensor:
        last = len(ascending) - 1
        return (ascending[last // 2] + ascending[(last + 1) // 2]) / 2
