"""What every strategy is: it checks a reply when it comes, and makes one model of a round's replies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from common.exchange import Weights
from server.aggregation.incoming_replies import IncomingReplies

NetworkWeights = dict[str, dict[str, Tensor]]


@final
@dataclass(frozen=True)
class RoundStart:
    """Where a round begins.

    Attributes:
        sent: weights by network, as the wire carried them to the sites.
        kept: what the strategy kept at the end of the round before, by name; empty in the first round.
    """

    sent: Mapping[str, Weights]
    kept: Mapping[str, Weights] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Aggregate:
    """What a round comes to.

    Attributes:
        weights: float32 weights of the networks that travel.
        kept: what the strategy needs again after the next round, by the names in :attr:`Strategy.keeps`. It stands in
            the checkpoint and is never sent.
    """

    weights: NetworkWeights
    kept: NetworkWeights = field(default_factory=dict)


class Strategy(ABC):
    """A way to make one model of many; without a state of its own, so that any round can be taken up again."""

    @property
    @abstractmethod
    def keeps(self) -> frozenset[str]:
        """Names of what is kept between rounds, one set of tensors each."""

    @abstractmethod
    def memory_bytes(self, model_bytes: int, replies: int) -> int:
        """The most that aggregation holds at once, beside the round's start.

        Args:
            model_bytes: float32 size of the networks that travel.
            replies: how many replies are aggregated.
        """

    @abstractmethod
    def check(self, trained: Mapping[str, Weights], start: RoundStart) -> None:
        """Refuse a reply that this strategy could not bear; names, shapes and numbers were checked before.

        Raises:
            Refusal: ``EXCHANGE_INVALID``.
        """

    @abstractmethod
    def aggregate(self, start: RoundStart, replies: IncomingReplies) -> Aggregate:
        """One model of a round's replies; the same replies give the same bits, in whatever order they came.

        Raises:
            Refusal: ``TOO_FEW_SITES`` if there is no reply.
        """
