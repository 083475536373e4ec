"""Momentum over rounds: the generator goes on in the direction in which the sites have been moving it.

A round's averaged movement is taken for a gradient and followed with Nesterov's momentum (federated averaging with
server momentum: Hsu et al., arXiv 1909.06335; outer steps: Douillard et al., DiLoCo, arXiv 2311.08105). The velocity is
kept in every checkpoint and never sent: sites receive weights and see no difference.
"""

from __future__ import annotations

from torch import Tensor

from common.exchange import Weights

GENERATOR_VELOCITY = "generator_velocity"


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
