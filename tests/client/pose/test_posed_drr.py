"""The search's quick DRR is the projector's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from client.pose.posed_drr import PosedHead, film_energy_kev, film_mu_per_mm, resampled
from common.attenuation import water_mu_per_mm
from common.geometry import FrontalView, Geometry, Grid, LateralView, Pose
from common.projection import Projector
from common.spectrum import HEAD_BONE_MM, HEAD_WATER_MM, Spectrum, bone_mu_per_mm, transmission
from tests.client.pose.conftest import head_hu

SPECTRUM = Spectrum(kvp=75)
GEOMETRY = Geometry(
    detector_shape=(72, 60),
    pixel_mm=5.0,
    frontal_pose=Pose(pitch_deg=9, roll_deg=-7, yaw_deg=8, translation_mm=(12, -9, 6)),
    lateral_pose=Pose(pitch_deg=-6, roll_deg=9, yaw_deg=-9, translation_mm=(-8, 14, -5)),
    frontal_offset_mm=(7.0, -11.0),
    lateral_offset_mm=(-4.0, 9.0),
)
OTHER_WAY = GEOMETRY.model_copy(update={"frontal": FrontalView.AP, "lateral": LateralView.RIGHT})


@pytest.mark.parametrize("geometry", [GEOMETRY, OTHER_WAY], ids=["PA LL", "AP RL"])
@pytest.mark.parametrize("view", [0, 1])
def test_the_quick_drr_is_the_projectors(geometry: Geometry, view: int) -> None:
    mu = resampled(film_mu_per_mm(head_hu(3), SPECTRUM), 1.8, 3.6)
    # As smooth as what both can read exactly, linearly or cubically.
    mu = ndimage.gaussian_filter(mu, 1.0)
    grid = Grid(shape=(64, 64, 64), voxel_mm=3.6)
    expected = Projector(grid, geometry)(torch.from_numpy(mu)[None, None])[0, view].numpy()
    quick = PosedHead.of(mu, 3.6, geometry.beams[view]).integrals(geometry, geometry.beams[view])
    assert np.sqrt(((quick - expected) ** 2).mean()) < 0.01 * expected.mean()
    for axis in (0, 1):
        shifted = min(np.abs(np.roll(quick, step, axis) - expected).mean() for step in (1, -1))
        assert shifted > 10 * np.abs(quick - expected).mean()


def test_a_ray_of_the_quick_drr_is_the_sum_of_what_it_reads() -> None:
    """Against the same method written down plainly, to rounding."""
    random = np.random.default_rng(1)
    mu = random.random((10, 12, 14)).astype(np.float32)
    geometry = GEOMETRY.model_copy(update={"detector_shape": (9, 8)})
    beam = geometry.beams[0]
    quick = PosedHead.of(mu, 8.0, beam).integrals(geometry, beam)
    rays, middle = geometry.rays(beam), (np.array(mu.shape[::-1]) - 1) / 2
    padded = np.pad(mu, 4)
    for row in range(9):
        for column in range(8):
            pixel = rays.corner_mm + row * rays.row_step_mm + column * rays.column_step_mm
            step = (pixel - rays.source_mm) / (pixel - rays.source_mm)[1]
            total = 0.0
            for plane in range(12):
                place = rays.source_mm + step * ((plane - middle[1]) * 8.0 - rays.source_mm[1])
                x, _, z = place / 8.0 + middle + 4
                if 0 <= x < 21 and 0 <= z < 17:
                    total += ndimage.map_coordinates(padded[:, plane + 4], [[z], [x]], order=1)[0]
            assert quick[row, column] == pytest.approx(total * 8.0 * np.linalg.norm(step), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("wanted_mm", [3.6, 4.1, 7.2])
def test_a_coarser_volume_keeps_its_place_and_its_mass(wanted_mm: float) -> None:
    ball = np.zeros((60, 64, 70), np.float32)
    ball[35, 22, 41] = 1.0
    ball = ndimage.gaussian_filter(ball, 4.0)
    coarse = resampled(ball, 1.8, wanted_mm)
    assert coarse.sum() * wanted_mm**3 == pytest.approx(ball.sum() * 1.8**3, rel=0.01)
    for axis in range(3):
        assert middle_mm(coarse, wanted_mm, axis) == pytest.approx(middle_mm(ball, 1.8, axis), abs=0.1)
    assert resampled(ball, 1.8, 1.8) is ball


def middle_mm(volume: NDArray[np.float32], voxel_mm: float, axis: int) -> float:
    """Along an axis, the centre of mass from the volume's centre."""
    profile = volume.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)
    return float((profile * (np.arange(len(profile)) - (len(profile) - 1) / 2)).sum() / profile.sum() * voxel_mm)


@pytest.mark.parametrize("kvp", [60, 75, 125])
def test_at_the_films_energy_an_average_head_lets_through_what_its_spectrum_does(kvp: float) -> None:
    spectrum = Spectrum(kvp=kvp)
    kev = film_energy_kev(spectrum)
    single = math.exp(-HEAD_WATER_MM * water_mu_per_mm(kev) - HEAD_BONE_MM * bone_mu_per_mm(kev))
    assert single == pytest.approx(float(transmission(spectrum, HEAD_WATER_MM, HEAD_BONE_MM)), rel=0.005)
