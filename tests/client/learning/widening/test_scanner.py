from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from client.learning.widening.plan import Cut, Plan
from client.learning.widening.scanner import scanned
from common.geometry import Grid

MakePlan = Callable[..., Plan]
GRID = Grid(shape=(40, 40, 40), voxel_mm=4.0)


def random() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_noise_has_its_sd_in_tissue_is_correlated_in_the_plane_and_spares_air(plan: MakePlan) -> None:
    noisy = scanned(torch.zeros(GRID.shape), GRID, plan(noise_hu=6.0), random())
    assert float(noisy.std()) == pytest.approx(6.0, rel=0.05)
    in_plane = float((noisy[:, :, 1:] * noisy[:, :, :-1]).mean()) / 36
    between = float((noisy[1:] * noisy[:-1]).mean()) / 36
    assert in_plane == pytest.approx(2 / 3, abs=0.05)
    assert abs(between) < 0.03
    air = torch.full(GRID.shape, -1000.0)
    assert torch.equal(scanned(air, GRID, plan(noise_hu=6.0), random()), air)


def test_kernels_sharpen_and_soften_an_edge_and_keep_plain_tissue(plan: MakePlan) -> None:
    edge = torch.zeros(GRID.shape)
    edge[:, :, 20:] = 1000.0
    soft, sharp = (scanned(edge, GRID, plan(kernel=share), random()) for share in (-0.8, 0.8))
    assert float(soft[20, 20].diff().max()) < 1000 < float(sharp[20, 20].diff().max())
    for changed in (soft, sharp):
        assert torch.equal(changed[:, :, :18], edge[:, :, :18])
        assert torch.equal(changed[:, :, 22:], edge[:, :, 22:])


def test_a_cut_leaves_air_below_a_slanted_plane(plan: MakePlan) -> None:
    tissue = torch.full(GRID.shape, 40.0)
    cut = scanned(tissue, GRID, plan(cut=Cut(height_mm=-20.0, slope=0.25)), random())
    z, y = (torch.from_numpy(GRID.centres_mm(axis)).float() for axis in (0, 1))
    below = (z[:, None] < -20 + 0.25 * y).unsqueeze(-1).expand(GRID.shape)
    assert float(cut[below].max()) == -1000
    assert torch.equal(cut[~below], tissue[~below])
