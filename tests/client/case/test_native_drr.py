from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.projection.phantoms import smooth_phantom
from benchmarks.projection.scene import view_rays
from client.archive import VerdictCode
from client.archive.discovery import discover
from client.archive.eligibility import judge_headers
from client.archive.pseudonym import Pseudonyms
from client.case.construction import Recipe, construct_case
from client.case.decoding import AIR_HU, SliceStack
from client.case.drr import drr_pair
from client.case.native_drr import evenly_spaced, native_drr_pair
from client.case.volume import Pose
from client.virtual_hospital.dicom_archive import write_virtual_archive
from client.virtual_hospital.scanner_style import STYLES
from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid
from common.study import CohortSettings, RadiographSettings

NATIVE = RadiographSettings(resolution="native")
GRID = Grid(shape=(128, 128, 128), voxel_mm=1.8)
GEOMETRY = Geometry(detector_shape=(96, 96), pixel_mm=4.0)
BOWED = Pose(Rotation.from_euler("xyz", [15, -4, 6], degrees=True).as_matrix(), np.array([12.0, -310.0, 905.0]))
LEFT, POSTERIOR, SUPERIOR = np.eye(3)


def steps_of(count, *lengths_mm):
    """Places around 0 whose steps repeat the lengths."""
    ends = np.cumsum([0.0, *(lengths_mm[index % len(lengths_mm)] for index in range(count - 1))])
    return ends - ends[-1] / 2


def scan(across, places_mm, row, column, shape, slide_mm=None):
    """The smooth phantom in slices whose middles lie on a line; ``slide_mm`` shifts each slice along its rows."""
    shift = row * (shape[0] - 1) / 2 + column * (shape[1] - 1) / 2
    origins = BOWED.centre_mm + places_mm[:, None] * across - shift
    if slide_mm is not None:
        origins = origins + slide_mm[:, None] * row / np.linalg.norm(row)
    rows, columns = (np.arange(length)[:, None] for length in shape)
    points = origins[:, None, None] + (rows * row)[:, None] + (columns * column)[None]
    density = smooth_phantom().density((points - BOWED.centre_mm) @ BOWED.rotation)
    return SliceStack((density / NATIVE.water_mu_per_mm * 1000 - 1000).astype(np.float32), origins, row, column, -1, 1)


def tilted(places_mm, slide_mm=None):
    """A gantry leant back by 18.5 degrees over a table that moves along z."""
    lean = math.radians(18.5)
    row = 1.7 * np.array([0.0, math.cos(lean), -math.sin(lean)])
    return scan(SUPERIOR, places_mm, row, 1.7 * LEFT, (150, 140), slide_mm)


SCANS = {
    "axial": (lambda: scan(SUPERIOR, steps_of(90, 2.6), 1.7 * POSTERIOR, 1.7 * LEFT, (140, 136)), 6e-4),
    "axial, rows along left": (lambda: scan(SUPERIOR, steps_of(90, 2.6), 1.7 * LEFT, -2 * POSTERIOR, (136, 120)), 6e-4),
    "sagittal": (lambda: scan(LEFT, steps_of(100, 2.2), -1.7 * SUPERIOR, 1.9 * POSTERIOR, (140, 126)), 6e-4),
    "coronal": (lambda: scan(POSTERIOR, steps_of(100, 2.2), -1.7 * SUPERIOR, -1.9 * LEFT, (140, 126)), 6e-4),
    "tilted": (lambda: tilted(steps_of(100, 2.5)), 6e-4),
    "tilted, uneven": (lambda: tilted(steps_of(130, 1.5, 2.1, 1.8)), 2.7e-3),
    "tilted, uneven, slipping": (lambda: tilted(steps_of(130, 1.5, 2.1), np.sin(np.arange(130) / 9)), 3.8e-3),
}


@pytest.mark.parametrize("name", SCANS)
def test_line_integrals_equal_their_closed_form_however_the_slices_lie(name):
    make, tolerance = SCANS[name]
    found = native_drr_pair(make(), BOWED, GRID, GEOMETRY, NATIVE)
    exact = np.stack([smooth_phantom().integrals(view.source_mm, view.pixels_mm) for view in view_rays(GEOMETRY)])
    error = np.abs(found - exact) / exact.max()
    assert error.max() < tolerance


def test_threads_do_not_change_a_bit():
    stack = tilted(steps_of(60, 4.0))
    one = native_drr_pair(stack, BOWED, GRID, GEOMETRY, NATIVE)
    assert np.array_equal(one, native_drr_pair(stack, BOWED, GRID, GEOMETRY, NATIVE, threads=3))


def test_an_even_stack_is_not_touched_and_an_uneven_one_grows_to_twice_its_slices_at_most():
    even = tilted(steps_of(20, 4.0))
    assert evenly_spaced(even) is even
    rounded = replace(even, origins_mm=even.origins_mm + np.random.default_rng(0).uniform(-0.02, 0.02, (20, 3)))
    assert evenly_spaced(rounded) is rounded
    finer = evenly_spaced(tilted(steps_of(20, 4.0, 6.0)))
    assert len(finer.hu) == round(20 * 5 / 4)
    most = evenly_spaced(tilted(steps_of(20, 4.0, 0.5)))
    assert len(most.hu) == 40
    for stack in (finer, most):
        assert np.ptp(np.diff(stack.origins_mm, axis=0), axis=0) == pytest.approx(0, abs=1e-9)


def test_stretching_keeps_half_a_step_beyond_both_ends():
    stack = tilted(steps_of(20, 4.0, 6.0))
    even = evenly_spaced(stack)
    step = even.positions_mm[1] - even.positions_mm[0]
    steps = np.diff(stack.positions_mm)
    assert even.positions_mm[0] - step / 2 == pytest.approx(stack.positions_mm[0] - steps[0] / 2)
    assert even.positions_mm[-1] + step / 2 == pytest.approx(stack.positions_mm[-1] + steps[-1] / 2)
    assert np.array_equal(even.hu[0], stack.hu[0])


def block(stack, pose, low_mm, high_mm):
    """The stack with water between two corners in canonical coordinates, air elsewhere."""
    _, rows, columns = (np.arange(length)[:, None] for length in stack.hu.shape)
    points = stack.origins_mm[:, None, None] + (rows * stack.row_mm)[:, None] + (columns * stack.column_mm)[None]
    canonical = (points - pose.centre_mm) @ pose.rotation
    inside = ((canonical > low_mm) & (canonical < high_mm)).all(axis=-1)
    return replace(stack, hu=np.where(inside, 0, AIR_HU).astype(np.float32))


SMALL = Grid(shape=(40, 48, 44), voxel_mm=2.5)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-1, 1])
def test_what_lies_outside_the_box_does_not_show(axis, side):
    face = SMALL.extent_mm[2 - axis] / 2
    low, high = np.full(3, -20.0), np.full(3, 20.0)
    middle = block(tilted(steps_of(60, 3.0)), BOWED, low, high)
    expected = native_drr_pair(middle, BOWED, SMALL, GEOMETRY, NATIVE)
    low[axis], high[axis] = sorted((side * (face + 4), side * (face + 25)))
    outside = block(middle, BOWED, low, high)
    assert (outside.hu > AIR_HU).sum() > 1000
    both = replace(middle, hu=np.maximum(middle.hu, outside.hu))
    assert np.array_equal(native_drr_pair(both, BOWED, SMALL, GEOMETRY, NATIVE), expected)
    with pytest.raises(Refusal, match="anything but air"):
        native_drr_pair(outside, BOWED, SMALL, GEOMETRY, NATIVE)


def test_a_body_that_leaves_the_box_is_cut_at_its_faces_without_stripes():
    """Water to beyond all faces is the box itself, though slices and rows meet its lower face at an angle."""
    stack = block(tilted(steps_of(100, 2.5)), BOWED, np.full(3, -75.0), np.full(3, 75.0))
    geometry = Geometry(detector_shape=(160, 160), pixel_mm=1.5)
    found = native_drr_pair(stack, BOWED, SMALL, geometry, NATIVE)
    expected = drr_pair(np.zeros(SMALL.shape, dtype=np.float32), SMALL.voxel_mm, geometry, NATIVE)
    error = (found - expected) / expected.max()
    along_the_face = error[:, :, 50:110] - error[:, :, 50:110].mean(axis=2, keepdims=True)
    assert found.sum() == pytest.approx(expected.sum(), rel=1e-3)
    assert np.sqrt(np.mean(error**2)) < 0.0108
    assert np.abs(along_the_face).max() < 0.0092


def case_of(folder, resolution, detector=96, **more):
    plan = judge_headers(discover(folder, Pseudonyms(b"k" * 32))[0], CohortSettings())
    assert not isinstance(plan, VerdictCode), plan
    geometry = Geometry.model_validate({"detector_shape": (detector,) * 2, "pixel_mm": 384 / detector} | more)
    return construct_case(plan, "p" * 32, Recipe(GRID, geometry, RadiographSettings(resolution=resolution)))


def apart(first, second):
    """RMS difference of each view, of the first's maximum."""
    return np.sqrt(np.mean((first - second) ** 2, axis=(1, 2))) / first.max()


@pytest.mark.parametrize(("style", "tolerance"), [("toshiba", 0.0055), ("ge-hispeed", 0.0062)])
def test_both_resolutions_show_the_same_head_the_same_way_round(style, tolerance, tmp_path):
    write_virtual_archive(tmp_path / "a", patients=1, style=STYLES[style], seed=5, matrix=128)
    grid, native = (case_of(tmp_path / "a", resolution) for resolution in ("grid", "native"))
    assert native.integrals.shape == grid.integrals.shape
    assert apart(grid.integrals, native.integrals).max() < tolerance
    for axis in (1, 2):
        assert apart(grid.integrals, np.flip(native.integrals, axis)).min() > 2 * tolerance
    assert np.abs(native.volume_hu.astype(float) - grid.volume_hu).mean() < 5


@pytest.mark.parametrize("rows_along_left", [False, True])
def test_left_and_front_stay_where_they_were_in_the_file(head_hu, head_series, tmp_path, rows_along_left):
    """A block of metal in the left frontal brain."""
    marked = head_hu.copy()
    marked[26:30, 22:28, 40:46] = 8000
    writer = head_series()
    writer.hu = marked
    if rows_along_left:
        writer.hu, writer.orientation = marked.swapaxes(1, 2), (0, 1, 0, 1, 0, 0)
    writer.write(tmp_path)
    frontal, lateral = case_of(tmp_path, "native").integrals
    rows, left = (np.median(index) for index in np.nonzero(frontal > 0.9 * frontal.max()))
    _, posterior = (np.median(index) for index in np.nonzero(lateral > 0.9 * lateral.max()))
    assert rows < 45
    assert left > 52
    assert posterior < 44


def test_what_cannot_be_projected_is_a_verdict_and_a_study_that_fits_no_series_a_refusal(head_series, tmp_path):
    head_series().write(tmp_path)
    beside = {"frontal_offset_mm": (0.0, 900.0)}
    assert case_of(tmp_path, "native", **beside) is VerdictCode.NOT_PROJECTED
    with pytest.raises(Refusal) as refusal:
        case_of(tmp_path, "native", source_patient_mm=100.0)
    assert refusal.value.code is ExitCode.GEOMETRY_INVALID


@pytest.mark.real_heads
@pytest.mark.parametrize("name", ["02_cptac_lscc_toshiba_head", "03_ge_hispeed_gantry_tilt"])
def test_both_resolutions_agree_on_real_heads(unzipped, name):
    folder = unzipped(f"dicom/{name}.zip")
    grid, native = (case_of(folder, resolution, 256) for resolution in ("grid", "native"))
    assert apart(grid.integrals, native.integrals).max() < 0.0055
    assert native.integrals.sum() == pytest.approx(grid.integrals.sum(), rel=1e-3)
