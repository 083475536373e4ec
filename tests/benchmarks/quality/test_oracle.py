"""The oracle's estimate is the best linear one: held against plain algebra, and against what it must show."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.quality import oracle
from benchmarks.quality.heads import FINE
from benchmarks.quality.oracle import Oracle, shown_by


@pytest.fixture(scope="module")
def head_hu() -> Tensor:
    """A skull of 10 mm with even brain in it."""
    axes = [torch.from_numpy(FINE.centres_mm(axis)).float() for axis in range(3)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    away = torch.sqrt((x / 72) ** 2 + (y / 88) ** 2 + ((z - 20) / 75) ** 2)
    head = torch.where(away < 1, torch.tensor(1100.0), torch.tensor(-1000.0))
    return torch.where(away < 0.87, torch.tensor(36.0), head)


def ball(head_hu: Tensor, radius_mm: float, change_hu: float) -> Tensor:
    axes = [torch.from_numpy(FINE.centres_mm(axis)).float() for axis in range(3)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    inside = (x - 20) ** 2 + (y - 10) ** 2 + (z - 35) ** 2 < radius_mm**2
    return torch.where(inside, head_hu + change_hu, head_hu)


def test_the_estimate_solves_the_normal_equations(head_hu: Tensor) -> None:
    best = Oracle.of(head_hu, photons=True)
    change = oracle._projected(ball(head_hu, 15.0, 40.0)) - oracle._projected(head_hu)
    estimate = best.estimate(change)
    # The residual, weighted by the noise and carried back through the covariance, is the estimate itself.
    left = (change - oracle._PROJECTOR(estimate[None, None] * oracle._MU_PER_HU)[0]) / best.noise_sd.square()
    again = best._spread(best._back(left))
    assert float((again - estimate).norm() / estimate.norm()) < 0.02
    assert not estimate[~best.brain].any()


def test_a_large_bleed_is_shown_better_than_a_small_one_and_noise_costs(head_hu: Tensor) -> None:
    changed = [(radius, ball(head_hu, radius, 30.0)) for radius in (5.0, 20.0)]
    clean, noisy = (shown_by(head_hu, changed, photons=photons) for photons in (False, True))
    for small, large in (clean, noisy):
        assert 0 < small.shown_hu / small.true_hu < large.shown_hu / large.true_hu < 1
    assert noisy[0].shown_hu < clean[0].shown_hu
