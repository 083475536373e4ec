"""Momentum over rounds: the generator goes on in the direction in which the sites have been moving it.

A round's averaged movement is taken for a gradient and followed with Nesterov's momentum (federated averaging with
server momentum: Hsu et al., arXiv 1909.06335; outer steps: Douillard et al., DiLoCo, arXiv 2311.08105). The velocity is
kept in every checkpoint and never sent: sites receive weights and see no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from common.exchange import Weights
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.strategy import Aggregate, RoundStart, Strategy

GENERATOR_VELOCITY = "generator_velocity"
# The mean, the change, the velocity and the weights of one tensor after the other.
_MODELS_AT_ONCE = 4


@final
@dataclass(frozen=True)
class OuterMomentum(Strategy):
    """Another strategy whose generator goes on in the direction of the rounds before.

    Attributes:
        inner: what makes one model of the replies.
        momentum: above 0 and below 1.
    """

    inner: Strategy
    momentum: float

    @property
    def keeps(self) -> frozenset[str]:
        """The generator's velocity, and what the other strategy keeps."""
        return self.inner.keeps | {GENERATOR_VELOCITY}

    def memory_bytes(self, model_bytes: int, replies: int) -> int:
        """The other strategy's, or what the step takes after it."""
        return max(self.inner.memory_bytes(model_bytes, replies), _MODELS_AT_ONCE * model_bytes)

    def check(self, trained: Mapping[str, Weights], start: RoundStart) -> None:
        """As the other strategy does."""
        self.inner.check(trained, start)

    def aggregate(self, start: RoundStart, replies: IncomingReplies) -> Aggregate:
        """The other strategy's model, its generator moved on."""
        found = self.inner.aggregate(start, replies)
        generator, velocity = moved_on(
            start.sent["generator"], found.weights["generator"], start.kept.get(GENERATOR_VELOCITY), self.momentum
        )
        kept = {**found.kept, GENERATOR_VELOCITY: velocity}
        return Aggregate({**found.weights, "generator": generator}, kept)


def moved_on(
    start: Weights, mean: Weights, velocity: Weights | None, momentum: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights after a round, and the velocity to keep.

    With the movement ``d = mean - start`` the velocity becomes ``v = momentum v + d``, the weights
    ``start + d + momentum v``.

    Args:
        start: what the round's sites started from.
        mean: the weighted mean of what they trained.
        velocity: of the round before, None in the first.
        momentum: 0 to below 1; 0 gives the mean.
    """
    moved, kept = {}, {}
    for name, trained in mean.items():
        change = trained - start[name]
        kept[name] = change if velocity is None else momentum * velocity[name] + change
        moved[name] = trained + momentum * kept[name]
    return moved, kept
