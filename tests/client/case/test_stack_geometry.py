"""Slices that lie elsewhere than their images say are refused, and those that only look odd are taken."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from client.archive import VerdictCode
from client.case import Case
from client.case.alignment import Alignment
from client.case.decoding import SliceStack
from client.case.stack_geometry import stack_geometry
from client.case.volume import Pose
from client.phantom.anatomy import template_head
from client.virtual_hospital.scanner_style import STYLES, acquire
from common.geometry import Grid

PIXEL_MM, SLICE_MM = 3.0, 6.0
TILT = VerdictCode.TILT_CONTRADICTS
POSITIONS = VerdictCode.POSITIONS_CONTRADICT


def leaning(hu, lean_deg, slant_deg=0.0):
    """Each slice's image moved to the back and to the left in proportion to its height."""
    heights = (np.arange(len(hu)) - len(hu) / 2) * SLICE_MM / PIXEL_MM
    moves = [heights * math.tan(math.radians(angle)) for angle in (lean_deg, slant_deg)]
    planes = zip(hu.astype(np.float32), *moves, strict=True)
    return np.stack([ndimage.shift(plane, move, order=1, cval=-1000.0) for plane, *move in planes])


def tilted(style, tilt_deg, **tags):
    """What a scanner with a tilted gantry writes: hu, origins, orientation, spacing and tags."""
    head = template_head(Grid(shape=(116,) * 3, voxel_mm=2.0))
    scan = acquire(head, 2.0, replace(STYLES[style], gantry_tilt_deg=tilt_deg), 3, matrix=96)
    return {
        "hu": scan.slices_hu.clip(-1000),
        "origins": scan.positions_mm,
        "orientation": scan.orientation,
        "spacing_mm": (scan.pixel_mm,) * 2,
        "tags": tags,
    }


@pytest.mark.parametrize(
    ("number", "verdict"), [("44", TILT), ("47", TILT), ("58", POSITIONS), ("00", VerdictCode.ACCEPTED)]
)
def test_the_faulty_series_are_refused_by_what_contradicts(of_fault, number, verdict):
    found = of_fault(number)
    assert (VerdictCode.ACCEPTED if isinstance(found, Case) else found) is verdict


@pytest.mark.parametrize(
    ("lean_deg", "slant_deg", "stated_deg", "verdict"),
    [
        (18.0, 0.0, "18", TILT),
        (-18.0, 0.0, "18", TILT),
        (15.0, 0.0, "-15", TILT),
        (-10.0, 0.0, "10", TILT),
        (8.0, 0.0, "8", TILT),
        (24.0, 0.0, "-24", TILT),
        (15.0, 0.0, None, POSITIONS),
        (-12.0, 0.0, None, POSITIONS),
        (0.0, 12.0, None, POSITIONS),
        (0.0, -12.0, "0", POSITIONS),
    ],
)
def test_slices_that_lean_in_their_images_alone_are_refused(
    head_hu, head_series, outcome, tmp_path, lean_deg, slant_deg, stated_deg, verdict
):
    writer = head_series(tags={} if stated_deg is None else {"GantryDetectorTilt": stated_deg})
    writer.hu = leaning(head_hu, lean_deg, slant_deg)
    writer.write(tmp_path)
    assert outcome(tmp_path) is verdict


@pytest.mark.parametrize("stated", ["18", "-18.5", "8", "30"])
def test_a_tilt_that_was_resampled_away_and_is_still_stated_changes_nothing(head_series, outcome, tmp_path, stated):
    head_series().write(tmp_path / "twin")
    head_series(tags={"GantryDetectorTilt": stated}).write(tmp_path / "stated")
    twin, case = outcome(tmp_path / "twin"), outcome(tmp_path / "stated")
    assert isinstance(twin, Case)
    assert isinstance(case, Case)
    assert np.array_equal(case.volume_hu, twin.volume_hu)


@pytest.mark.parametrize("tilt_deg", [18.5, -18.5, 25.0])
@pytest.mark.parametrize("stated", ["same", "opposite", "none"])
def test_a_tilted_gantry_is_undone_whatever_sign_its_vendor_gives_it(series, outcome, tmp_path, tilt_deg, stated):
    tags = {"same": {"GantryDetectorTilt": tilt_deg}, "opposite": {"GantryDetectorTilt": -tilt_deg}, "none": {}}
    series(**tilted("ge-hispeed", tilt_deg, **tags[stated])).write(tmp_path)
    case = outcome(tmp_path)
    assert isinstance(case, Case)
    assert abs(case.facts.tilt_deg) == pytest.approx(abs(tilt_deg), abs=0.1)
    assert abs(case.facts.shear_deg) < 2.5


@pytest.mark.parametrize("tilt_deg", [18.5, -15.0, 12.0])
@pytest.mark.parametrize("fault", ["orientation_dropped", "orientation_turned"])
def test_a_tilted_gantry_whose_orientation_is_lost_or_turned_round_is_refused(
    series, outcome, tmp_path, tilt_deg, fault
):
    written = tilted("picker-rt", tilt_deg, GantryDetectorTilt=tilt_deg)
    across, down = written["orientation"][:3], written["orientation"][3:]
    down = (0.0, 1.0, 0.0) if fault == "orientation_dropped" else (down[0], down[1], -down[2])
    series(**written | {"orientation": (*across, *down)}).write(tmp_path)
    assert outcome(tmp_path) is TILT


def moved(origins, shift_mm, block):
    changed = origins.copy()
    changed[block, :2] += shift_mm
    return changed


@pytest.mark.parametrize("block", [slice(20, None), slice(None, 22), slice(16, 26)], ids=["upper", "lower", "middle"])
@pytest.mark.parametrize("shift_mm", [(5.0, 0.0), (-3.0, 0.0), (0.0, 5.0), (0.0, -4.0), (3.0, 3.0)])
def test_a_block_moved_in_the_header_alone_is_refused(head_series, outcome, tmp_path, shift_mm, block):
    writer = head_series()
    writer.origins = moved(writer.origins, shift_mm, block)
    writer.write(tmp_path)
    assert outcome(tmp_path) is POSITIONS


def test_a_block_that_the_scanner_centred_elsewhere_is_taken(head_hu, head_series, outcome, tmp_path):
    """Positions and images moved against each other: only what lies between the blocks is interpolated otherwise."""
    head_series().write(tmp_path / "twin")
    writer = head_series()
    writer.origins = moved(writer.origins, (6.0, -3.0), slice(20, None))
    writer.hu = head_hu.copy()
    writer.hu[20:] = np.roll(head_hu[20:], (1, -2), axis=(1, 2))
    writer.write(tmp_path / "centred")
    twin, case = outcome(tmp_path / "twin"), outcome(tmp_path / "centred")
    assert isinstance(case, Case)
    assert np.abs(case.volume_hu.astype(float) - twin.volume_hu).mean() <= 4


@pytest.mark.parametrize("shift", [(0, 2), (0, -1), (2, 0)])
def test_a_block_that_moved_in_the_images_alone_is_refused(head_hu, head_series, outcome, tmp_path, shift):
    """As where the patient moved between two blocks; a pixel is 3 mm."""
    writer = head_series()
    writer.hu = head_hu.copy()
    writer.hu[22:] = np.roll(head_hu[22:], shift, axis=(1, 2))
    writer.write(tmp_path)
    assert outcome(tmp_path) is POSITIONS


def test_the_flow_between_slices_is_the_shift_they_were_given():
    """Blobs that move by known steps, finer than a pixel, against the closed form of their places."""
    y, x = np.mgrid[:70, :60] * 3.0
    places = np.cumsum(np.r_[[[0.0, 0.0]], [[0.4, -0.2]] * 12, [[4.1, 3.3]], [[0.4, -0.2]] * 12], axis=0)
    hu = np.stack(
        [-1000.0 + 1400 / (1 + np.exp((np.hypot((y - 100 - dy) / 1.2, x - 90 - dx) - 55) / 2)) for dy, dx in places]
    )
    origins = np.arange(len(hu))[:, None] * np.array([0.0, 0.0, 4.0])
    stack = SliceStack(hu.astype(np.float32), origins, np.array([0.0, 3, 0]), np.array([3.0, 0, 0]), -1000.0, 1500.0)
    alignment = Alignment(Pose(np.eye(3), np.zeros(3)), 100.0, 0.0, 1.0, 1.0, 30.0, 1.0, shear=(0.1, -0.2))
    found = stack_geometry(stack, alignment)
    assert found.step_mm == pytest.approx((3.7, 3.5), abs=0.15)
    assert found.recorded_step_mm == 0
    assert (found.slant_deg, found.shear_deg) == pytest.approx((5.71, -11.31), abs=0.01)


@pytest.mark.real_heads
@pytest.mark.parametrize("name", ["02_cptac_lscc_toshiba_head", "03_ge_hispeed_gantry_tilt"])
def test_real_heads_lie_where_they_say(outcome, unzipped, name):
    case = outcome(unzipped(f"dicom/{name}.zip"))
    assert isinstance(case, Case)
    assert abs(case.facts.shear_deg) < 2.5
    assert abs(case.facts.slant_deg) < 2.5
    assert max(case.facts.step_back_mm, case.facts.step_left_mm) < 2.5
