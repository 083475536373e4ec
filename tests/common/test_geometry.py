import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import ExitCode, Refusal
from common.geometry import FrontalView, Geometry, Grid, LateralView, expect_outside

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
