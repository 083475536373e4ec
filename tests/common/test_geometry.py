from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import ExitCode, Refusal
from common.geometry import FrontalView, Geometry, Grid, LateralView, Pose, expect_outside
from common.study import Study

GRID = Grid(shape=(32, 48, 64), voxel_mm=4.0)
GEOMETRY = Geometry(detector_shape=(96, 128), pixel_mm=3.0)


def test_voxel_centres_surround_the_isocentre_and_grow_with_lps() -> None:
    z, y, x = (GRID.centres_mm(axis) for axis in range(3))
    assert (z[0], z[-1]) == (-62.0, 62.0)
    assert (y[0], y[-1]) == (-94.0, 94.0)
    assert (x[0], x[-1]) == (-126.0, 126.0)
    assert np.all(np.diff(x) == 4.0)


def test_rows_fall_from_superior_and_columns_grow() -> None:
    assert GEOMETRY.row_centres_mm(GEOMETRY.beams[0])[0] == 142.5
    assert GEOMETRY.row_centres_mm(GEOMETRY.beams[0])[-1] == -142.5
    assert GEOMETRY.column_centres_mm(GEOMETRY.beams[0])[0] == -190.5
    assert GEOMETRY.column_centres_mm(GEOMETRY.beams[0])[-1] == 190.5


@pytest.mark.parametrize(
    ("frontal", "lateral", "sources"),
    [
        (FrontalView.PA, LateralView.LEFT, (1000.0, -1000.0)),
        (FrontalView.AP, LateralView.RIGHT, (-1000.0, 1000.0)),
    ],
)
def test_the_source_stands_opposite_the_side_that_names_the_view(
    frontal: FrontalView, lateral: LateralView, sources: tuple[float, float]
) -> None:
    beams = Geometry(detector_shape=(64, 64), pixel_mm=5.0, frontal=frontal, lateral=lateral).beams
    assert tuple(beam.source_mm for beam in beams) == sources
    assert [(beam.name, beam.along, beam.across) for beam in beams] == [("frontal", 1, 2), ("lateral", 2, 1)]


@given(cells=st.integers(1, 16), factor=st.integers(1, 8), pitch=st.floats(0.1, 20))
def test_coarser_keeps_the_extent_or_refuses(cells: int, factor: int, pitch: float) -> None:
    fine = Grid(shape=(8 * factor * cells, 8 * factor, 16 * factor), voxel_mm=pitch)
    coarse = fine.coarser(factor)
    assert coarse.shape == (8 * cells, 8, 16)
    assert coarse.extent_mm == pytest.approx(fine.extent_mm)
    detector = Geometry(detector_shape=fine.shape[:2], pixel_mm=pitch, frontal=FrontalView.AP).coarser(factor)
    assert detector.detector_shape == coarse.shape[:2]
    assert detector.pixel_mm == pytest.approx(factor * pitch)
    assert detector.frontal is FrontalView.AP
    with pytest.raises(Refusal):
        fine.coarser(2 * factor)


@pytest.mark.parametrize("factor", [0, -2, 3, 8, 64])
def test_coarser_refuses_what_does_not_divide_or_leaves_too_few_cells(factor: int) -> None:
    for refused in (GRID.coarser, GEOMETRY.coarser if factor not in (3, 8) else GRID.coarser):
        with pytest.raises(Refusal) as refusal:
            refused(factor)
        assert refusal.value.code is ExitCode.GEOMETRY_INVALID


def test_detector_before_the_patient_is_not_a_geometry() -> None:
    with pytest.raises(ValidationError, match="behind the patient"):
        Geometry(source_patient_mm=1000, source_detector_mm=900, detector_shape=(64, 64), pixel_mm=5.0)


@pytest.mark.parametrize(("source", "detector"), [(90.0, 1500.0), (1000.0, 1090.0)])
def test_source_or_detector_inside_the_volume_is_refused(source: float, detector: float) -> None:
    inside = Geometry(source_patient_mm=source, source_detector_mm=detector, detector_shape=(64, 64), pixel_mm=5.0)
    with pytest.raises(Refusal, match="inside the volume") as refusal:
        expect_outside(inside, GRID)
    assert refusal.value.code is ExitCode.GEOMETRY_INVALID
    expect_outside(GEOMETRY, GRID)


@pytest.mark.parametrize("pose", ["pitch_deg = nan", "yaw_deg = inf", "roll_deg = 50", "translation_mm = [nan, 0, 0]"])
def test_poses_that_are_not_finite_or_lie_down_are_refused_in_one_line(pose: str) -> None:
    text = (Path(__file__).parents[2] / "configs" / "demo.toml").read_text(encoding="utf-8")
    with pytest.raises(Refusal, match="lateral_pose") as refusal:
        Study.from_text(f"{text}\n[geometry.lateral_pose]\n{pose}\n", where="study.toml")
    assert refusal.value.code is ExitCode.STUDY_INVALID
    assert "\n" not in str(refusal.value)


def test_a_pose_is_undone_by_its_own_inverse() -> None:
    pose = Pose(pitch_deg=12, roll_deg=-7, yaw_deg=20, translation_mm=(4.0, -5.0, 6.0))
    patient = np.array([[10.0, -20.0, 30.0], [0.0, 0.0, 0.0]])
    room = patient @ pose.rotation.T + np.array(pose.translation_mm)
    np.testing.assert_allclose(pose.patient_mm(room), patient, atol=1e-12)
    np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose.rotation) == pytest.approx(1.0)
