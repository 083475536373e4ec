"""Left, right, front, back, top and bottom through DICOM → volume → DRR → network input → DICOM.

A ball of metal in a head that is no mirror image of itself is written as DICOM, goes through the site's own pipeline,
and must come out at the same place of the patient at every station.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from client.case import Case, drr_pair
from client.cohort import build_cohort
from client.learning.samples import Samples
from client.phantom.anatomy import procedural_head
from client.synthesis import write_synthetic_ct
from client.virtual_hospital import STYLES
from client.virtual_hospital.dicom_archive import write_series
from client.virtual_hospital.scanner_style import acquire
from common.geometry import Grid
from common.roles import Role
from common.study import Study

# x (left), y (posterior), z (superior) in mm from the head's centre: off every plane of symmetry.
BALLS_LPS_MM = [(30.0, -35.0, 40.0), (-35.0, 40.0, 25.0)]
BALL_RADIUS_MM = 9.0
METAL_HU = 3000
NEAR_MM = 12.0
STUDY = """
name = "phantom"
[grid]
shape = [64, 64, 64]
voxel_mm = 3.6
[geometry]
detector_shape = [128, 128]
pixel_mm = 3.0
frontal = "{frontal}"
lateral = "{lateral}"
[cohort]
minimum_cases = 1
[radiograph]
photons = 0.0
"""


def _phantom(ball_mm: tuple[float, float, float]) -> tuple[NDArray[np.int16], float]:
    grid = Grid(shape=(136, 136, 136), voxel_mm=1.8)
    head = procedural_head(11, grid)
    axes = [(np.arange(136) - 67.5) * 1.8] * 3
    z, y, x = np.meshgrid(*axes, indexing="ij")
    inside = (x - ball_mm[0]) ** 2 + (y - ball_mm[1]) ** 2 + (z - ball_mm[2]) ** 2 < BALL_RADIUS_MM**2
    return np.where(inside, METAL_HU, head).astype(np.int16), 1.8


def _centroid_mm(bright: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.float64]:
    """(x, y, z) of the bright voxels, from the grid's centre."""
    places = np.argwhere(bright).mean(axis=0)
    return ((places - (np.array(bright.shape) - 1) / 2) * spacing_mm)[::-1]


@pytest.mark.parametrize(
    ("ball_mm", "style", "frontal", "lateral"),
    [
        (BALLS_LPS_MM[0], "toshiba", "PA", "LL"),
        (BALLS_LPS_MM[1], "toshiba", "AP", "RL"),
        (BALLS_LPS_MM[0], "ge-hispeed", "AP", "RL"),
        (BALLS_LPS_MM[1], "ge-hispeed", "PA", "LL"),
    ],
    ids=["left front", "right back", "left front, tilted gantry", "right back, tilted gantry"],
)
def test_every_side_lands_where_lps_says(
    tmp_path: Path, ball_mm: tuple[float, float, float], style: str, frontal: str, lateral: str
) -> None:
    study = Study.from_text(STUDY.format(frontal=frontal, lateral=lateral), where="test")
    volume, voxel_mm = _phantom(ball_mm)
    scanner = STYLES[style]
    write_series(tmp_path / "archive", acquire(volume, voxel_mm, scanner, 5), scanner, seed=5, number=1)

    cohort = build_cohort(tmp_path / "archive", study, Role.EVALUATE, tmp_path / "state")
    case = cohort.validation[0].load()
    in_volume = _centroid_mm(case.volume_hu > 2200, study.grid.voxel_mm)
    assert np.abs(in_volume - ball_mm).max() < NEAR_MM

    _check_radiographs(case, study, in_volume)
    _check_network_input(case, study)
    _check_dicom(case, study, in_volume, tmp_path / "synthetic")


def _check_radiographs(case: Case, study: Study, ball_mm: NDArray[np.float64]) -> None:
    """The ball's shadow in the displayed radiographs: columns grow to the left and to posterior, rows to inferior."""
    axes = [(np.arange(size) - (size - 1) / 2) * study.grid.voxel_mm for size in case.volume_hu.shape]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    around = (x - ball_mm[0]) ** 2 + (y - ball_mm[1]) ** 2 + (z - ball_mm[2]) ** 2 < (2 * BALL_RADIUS_MM) ** 2
    without = np.where(around, 40, case.volume_hu).astype(np.int16)
    rows, columns = study.geometry.detector_shape
    for view, across in ((0, ball_mm[0]), (1, ball_mm[1])):
        row, column = _shadow(case, without, study, view)
        place_mm = (column - (columns - 1) / 2) * study.geometry.pixel_mm / 1.5
        height_mm = ((rows - 1) / 2 - row) * study.geometry.pixel_mm / 1.5
        assert abs(place_mm - across) < NEAR_MM
        assert abs(height_mm - ball_mm[2]) < NEAR_MM


def _shadow(case: Case, without: NDArray[np.int16], study: Study, view: int) -> tuple[float, float]:
    """Centroid of what the ball adds to the site's own DRR."""
    plain = drr_pair(without.astype(np.float32), study.grid.voxel_mm, study.geometry, study.radiograph)
    added = np.clip(case.integrals[view] - np.asarray(plain)[view], 0, None)
    added = np.where(added > 0.5 * added.max(), added, 0.0)
    rows, columns = np.indices(added.shape)
    return float((rows * added).sum() / added.sum()), float((columns * added).sum() / added.sum())


def _check_network_input(case: Case, study: Study) -> None:
    batch = next(iter(Samples(study, [case], 1)))
    assert batch.integrals.shape == (study.optimisation.batch_size, 2, *study.geometry.detector_shape)
    assert np.allclose(batch.integrals[0].numpy(), case.integrals, atol=1e-5)
    truth = np.clip(case.volume_hu, -1000, 1500)
    assert np.allclose(batch.target[0, 0].numpy() * 2500 - 1000, truth, atol=0.1)


def _check_dicom(case: Case, study: Study, ball_mm: NDArray[np.float64], folder: Path) -> None:
    paths = write_synthetic_ct(folder, case.volume_hu, study.grid, "test")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert len(paths) == image.GetSize()[2]
    bright = np.argwhere(sitk.GetArrayFromImage(image) > 2200).mean(axis=0)[::-1]
    place = image.TransformContinuousIndexToPhysicalPoint([float(value) for value in bright])
    assert np.abs(np.array(place) - ball_mm).max() < study.grid.voxel_mm
