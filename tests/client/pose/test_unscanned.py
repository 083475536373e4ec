"""What lies beyond a scan's end is not known, and what lies before it is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from client.pose.posed_drr import UNKNOWN, PosedHead, coarse_head
from client.pose.unscanned import scan_end, with_what_follows
from common.geometry import Geometry

VOXEL_MM = 4.0


def ball(end: float = 0.0, slope: float = 0.0) -> NDArray[np.float32]:
    """(z, y, x) HU of a ball that is scanned above a plane, which rises towards the back."""
    z, y, x = np.meshgrid(*[np.arange(50) - 24.5] * 3, indexing="ij")
    inside = z**2 + y**2 + x**2 < 20**2
    scanned = np.where(inside & (z + 24.5 > end + slope * y), 30.0, -1000.0)
    return np.asarray(scanned + np.random.default_rng(1).normal(0, 20, z.shape), dtype=np.float32)


@pytest.mark.parametrize(("end", "slope"), [(18.0, 0.0), (18.0, 0.3), (22.0, -0.4)])
def test_the_plane_at_which_a_scan_ends_is_found(end: float, slope: float) -> None:
    height, back, left = scan_end(ball(end, slope), VOXEL_MM)
    assert height == pytest.approx(end + 0.5, abs=1.0)
    assert back == pytest.approx(slope, abs=0.06)
    assert left == pytest.approx(0.0, abs=0.06)


def test_what_lies_below_the_end_is_unknown_and_nothing_of_the_head_is() -> None:
    hu = ball(18.0, 0.3)
    taller, unknown = with_what_follows(hu, VOXEL_MM)
    assert taller.shape == unknown.shape == (50 + 2 * 20, 50, 50)
    assert np.array_equal(taller[20:-20], hu)
    tissue = taller > -500
    assert (unknown & tissue).sum() < 0.001 * tissue.sum()
    assert unknown[:20].all()
    assert not unknown[-20:].any()
    # Just beneath the cut, at the front where it is lower and at the back where it is higher.
    assert unknown[20 + 18 - 3 - 3, 15, 25]
    assert not unknown[20 + 18 - 3 + 2, 15, 25]
    assert unknown[20 + 18 + 3 - 2, 35, 25]


def test_a_head_that_was_scanned_to_the_volumes_end_is_unknown_below_it_alone() -> None:
    hu = ball()
    hu[:25, 15:35, 15:35] = 30.0
    _, unknown = with_what_follows(hu, VOXEL_MM)
    assert unknown[:20].all()
    assert not unknown[21:].any()
    nothing = np.full((20, 20, 20), -1000, np.int16)
    assert scan_end(nothing, VOXEL_MM) == (0.0, 0.0, 0.0)


def test_rays_through_what_is_unknown_say_so_and_others_are_as_before() -> None:
    hu = ball(18.0)
    taller, unknown = with_what_follows(hu, VOXEL_MM)
    mu = np.maximum(taller + 1000, 0) * np.float32(2e-5)
    geometry = Geometry(detector_shape=(60, 60), pixel_mm=5.0)
    beam = geometry.beams[0]
    marked = PosedHead.of(coarse_head(mu, unknown, VOXEL_MM, VOXEL_MM), VOXEL_MM, beam).integrals(geometry, beam)
    plain = PosedHead.of(mu, VOXEL_MM, beam).integrals(geometry, beam)
    known = marked < UNKNOWN
    assert np.array_equal(marked[known], plain[known])
    assert plain.max() < UNKNOWN / 5
    # Rays that meet the cut level from above or from below within the head are of either kind, those far off are not.
    assert known[:30].all()
    assert not known[45:, 30].any()
