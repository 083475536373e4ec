from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.projection.scene import view_rays
from client.virtual_films import tissue_paths_mm
from common.attenuation import hu_to_mu, water_mu_per_mm
from common.geometry import Geometry, Grid
from common.projection import Projector
from common.spectrum import bone_mu_per_mm
from common.spectrum.beam_quality import CT_KEV

GRID = Grid(shape=(128, 128, 128), voxel_mm=1.8)
WATER = water_mu_per_mm(CT_KEV)


def at_one_energy(paths_mm: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(paths_mm[0] * WATER + paths_mm[1] * bone_mu_per_mm(CT_KEV), dtype=np.float64)


def middle(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """(row, column) of an image's centre of mass."""
    return np.array([(image.sum(axis=1 - axis) * np.arange(image.shape[axis])).sum() for axis in (0, 1)]) / image.sum()


@pytest.mark.parametrize("view", [0, 1])
def test_at_one_energy_a_film_is_the_training_projectors_within_a_hundredth(
    head_hu: NDArray[np.float32], posed_geometry: Geometry, view: int
) -> None:
    mu = hu_to_mu(torch.from_numpy(head_hu), WATER)
    drr = Projector(GRID, posed_geometry)(mu[None, None])[0, view].numpy()
    film = at_one_energy(tissue_paths_mm(head_hu, GRID.voxel_mm, posed_geometry, posed_geometry.beams[view]))
    assert np.sqrt(((film - drr) ** 2).mean()) < 0.01 * drr.mean()
    assert film.sum() == pytest.approx(drr.sum(), rel=0.002)
    # Nothing lies a pixel aside: any such shift makes the two differ more.
    here = np.abs(film - drr).mean()
    for axis in (0, 1):
        assert all(np.abs(np.roll(film, step, axis) - drr).mean() > 2 * here for step in (1, -1))


@pytest.mark.parametrize("view", [0, 1])
def test_a_ball_is_seen_where_the_conventions_place_it(posed_geometry: Geometry, view: int) -> None:
    grid = Grid(shape=(96, 96, 96), voxel_mm=2.0)
    place = np.array([35.0, -25.0, 45.0])
    x, y, z = np.meshgrid(*[grid.centres_mm(0)] * 3, indexing="ij")
    away = np.sqrt(((np.stack([x, y, z]) - place[:, None, None, None]) ** 2).sum(axis=0))
    hu = np.where(away < 9.0, 1000, -1000).transpose(2, 1, 0).astype(np.int16)
    film = at_one_energy(tissue_paths_mm(hu, 2.0, posed_geometry, posed_geometry.beams[view]))
    rays = view_rays(posed_geometry)[view]
    corner = rays.pixels_mm[0, 0]
    down, right = rays.pixels_mm[1, 0] - corner, rays.pixels_mm[0, 1] - corner
    # Where the ray through the ball's middle meets the detector, in pixels.
    _, row, column = np.linalg.solve(np.stack([place - rays.source_mm, -down, -right], axis=1), corner - rays.source_mm)
    assert np.abs(middle(film) - (row, column)).max() < 0.1
    lengths = tissue_paths_mm(hu, 2.0, posed_geometry, posed_geometry.beams[view])
    assert lengths[0].max() > 0
    assert (lengths >= 0).all()


def test_rays_that_pass_beside_the_volume_meet_nothing(posed_geometry: Geometry) -> None:
    hu = np.zeros((8, 8, 8), np.float32)
    paths = tissue_paths_mm(hu, 4.0, posed_geometry, posed_geometry.beams[0])
    assert (paths[:, 0] == 0).all()
    assert paths[0].max() == pytest.approx(32.0, rel=0.12)
    assert (paths[1] == 0).all()
