from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from client.case.construction import target_volume
from client.case.drr import add_noise, drr_pair
from client.case.volume import fine_grid
from client.phantom.anatomy import template_head
from common.attenuation import hu_to_mu
from common.geometry import Geometry, Grid
from common.projection import Projector
from common.study import RadiographSettings

SETTINGS = RadiographSettings()
GEOMETRY = Geometry(detector_shape=(48, 48), pixel_mm=8.0)


def test_integral_through_the_middle_of_a_water_cube_is_its_length():
    hu = np.full((40, 40, 40), -1000, np.float32)
    hu[10:30, 10:30, 10:30] = 0
    pair = drr_pair(hu, 2.5, Geometry(detector_shape=(33, 33), pixel_mm=4.0), SETTINGS)
    assert pair.shape == (2, 33, 33)
    assert pair.dtype == np.float32
    assert pair[:, 16, 16] == pytest.approx(50 * SETTINGS.water_mu_per_mm, rel=0.01)


def test_metal_above_any_window_attenuates_in_full():
    hu = np.full((16, 16, 16), -1000, np.float32)
    hu[8, 8, 8] = 3000
    faint = drr_pair(hu, 2.5, GEOMETRY, SETTINGS).max()
    hu[8, 8, 8] = 15_000
    assert drr_pair(hu, 2.5, GEOMETRY, SETTINGS).max() == pytest.approx(4 * faint, rel=1e-3)


def test_target_and_radiographs_agree():
    """Projecting the target itself gives the radiographs of the fine volume, as far as its voxels allow."""
    grid = Grid(shape=(32, 32, 32), voxel_mm=7.5)
    fine = fine_grid(grid)
    volume = np.clip(template_head(fine).astype(np.float32), -1000, None)
    target = target_volume(volume, grid)
    pair = drr_pair(volume, fine.voxel_mm, GEOMETRY, SETTINGS)
    coarse = torch.from_numpy(target.astype(np.float32))[None, None]
    again = Projector(grid, GEOMETRY)(hu_to_mu(coarse, SETTINGS.water_mu_per_mm))[0].numpy()
    assert np.abs(again - pair).mean() < 0.02 * pair.max()
    assert again.sum() == pytest.approx(pair.sum(), rel=0.005)


def test_target_is_the_rounded_mean_of_its_fine_voxels():
    grid = Grid(shape=(8, 8, 8), voxel_mm=7.5)
    volume = np.random.default_rng(0).uniform(-1000, 2000, (24, 24, 24)).astype(np.float32)
    target = target_volume(volume, grid)
    assert target.dtype == np.int16
    assert target[2, 3, 4] == round(float(volume[6:9, 9:12, 12:15].mean()))


def test_noise_has_the_mean_and_spread_of_photon_counts():
    integrals = torch.full((200_000,), 2.0)
    noisy = add_noise(integrals, 1000.0, torch.Generator().manual_seed(0))
    expected = 1000 * math.exp(-2)
    counts = 1000 * torch.exp(-noisy)
    assert counts.mean() == pytest.approx(expected, rel=0.005)
    assert counts.var() == pytest.approx(expected, rel=0.02)


def test_noise_is_fresh_for_each_call_and_repeats_with_the_seed():
    integrals = torch.rand(2, 16, 16) * 4
    generator = torch.Generator().manual_seed(3)
    first, second = add_noise(integrals, 5e4, generator), add_noise(integrals, 5e4, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, add_noise(integrals, 5e4, torch.Generator().manual_seed(3)))


def test_dark_pixels_stay_finite_at_one_photon():
    noisy = add_noise(torch.full((100,), 50.0), 1e4, torch.Generator().manual_seed(0))
    assert noisy == pytest.approx(math.log(1e4))


def test_noise_switched_off_changes_nothing():
    integrals = torch.rand(4)
    assert torch.equal(add_noise(integrals, 0.0, torch.Generator()), integrals)
