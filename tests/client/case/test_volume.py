from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from client.archive import Plan
from client.archive.discovery import discover
from client.archive.eligibility import judge_headers
from client.archive.pseudonym import Pseudonyms
from client.case.alignment import align
from client.case.body import find_body
from client.case.decoding import AIR_HU, SliceStack, decode_stack
from client.case.volume import Pose, fine_factor, fine_grid, resample, resample_with_extent
from common.errors import ExitCode, Refusal
from common.geometry import Grid
from common.study import CohortSettings

NAMES = Pseudonyms(b"k" * 32)
LEFT, FRONT, TOP = (45.0, 0.0, 0.0), (0.0, -60.0, 0.0), (0.0, 0.0, 40.0)
MARKERS = ((LEFT, 900.0), (FRONT, 1400.0), (TOP, 2000.0))
IDENTITY = Pose(np.eye(3), np.zeros(3))


def phantom(x, y, z):
    """HU at LPS points: an ellipsoid of water off-centre in no axis, with cubes of 24 mm at left, front and top."""
    hu = np.where((x / 65) ** 2 + (y / 85) ** 2 + (z / 60) ** 2 < 1, 0.0, -1000.0)
    for (a, b, c), value in MARKERS:
        inside = (abs(x - a) < 12) & (abs(y - b) < 12) & (abs(z - c) < 12)
        hu = np.where(inside, value, hu)
    return hu


def scanned(series, orientation, spacing_mm=(2.5, 3.0), step_mm=4.0, shape=(72, 64), table_mm=None, heights=None):
    """A writer of the phantom scanned in any orientation; a table that moves along z shears tilted slices."""
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(row, column)
    move = normal if table_mm is None else np.array(table_mm)
    places = np.arange(40) - 19.5 if heights is None else heights
    corner = -(shape[0] - 1) / 2 * spacing_mm[0] * column - (shape[1] - 1) / 2 * spacing_mm[1] * row
    origins = np.array([corner + place * step_mm * move for place in places])
    rows, columns = np.arange(shape[0]) * spacing_mm[0], np.arange(shape[1]) * spacing_mm[1]
    points = origins[:, None, None] + rows[:, None, None] * column + columns[:, None] * row
    return series(phantom(*np.moveaxis(points, -1, 0)), origins=origins, spacing_mm=spacing_mm, orientation=orientation)


def decoded(folder, fine_mm=1.0):
    found = discover(folder, NAMES)[0]
    plan = judge_headers(found, CohortSettings())
    slices = plan.slices if isinstance(plan, Plan) else found.slices
    normal = np.cross(slices[0].orientation[:3], slices[0].orientation[3:])
    return decode_stack(sorted(slices, key=lambda header: np.dot(normal, header.position)), fine_mm)


def place_of(volume, grid, value):
    """LPS (x, y, z) of the middle of the voxels near a marker's value; the edges of brighter markers are outvoted."""
    z, y, x = np.nonzero(abs(volume - value) < 30)
    return [np.median(grid.centres_mm(axis)[index]) for axis, index in ((2, x), (1, y), (0, z))]


ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "axial, rows and columns reversed": (-1, 0, 0, 0, -1, 0),
    "axial, columns reversed": (-1, 0, 0, 0, 1, 0),
    "axial, transposed": (0, 1, 0, 1, 0, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "tilted": (1, 0, 0, 0, 0.9483, -0.3173),
    "oblique": tuple(np.linalg.qr(np.array([[1, 0.2, 0.1], [-0.1, 1, 0.3], [0, 0, 1]]).T)[0].T[:2].ravel() * -1),
}


@pytest.mark.parametrize(
    ("name", "order"), [*((name, "rising") for name in ORIENTATIONS), ("axial", "falling"), ("tilted", "shuffled")]
)
def test_left_front_and_top_land_where_lps_says(series, tmp_path, name, order):
    writer = scanned(series, ORIENTATIONS[name])
    numbers = np.arange(40)[:: -1 if order == "falling" else 1]
    writer.write(tmp_path, np.random.default_rng(1).permutation(40) if order == "shuffled" else numbers)
    grid = Grid(shape=(64, 72, 64), voxel_mm=3.0)
    volume = resample(decoded(tmp_path), IDENTITY, grid)
    for place, value in MARKERS:
        assert place_of(volume, grid, value) == pytest.approx(place, abs=2.0)


@pytest.mark.parametrize("tilt_deg", [-18.5, 18.5])
@pytest.mark.parametrize("uneven", [False, True])
def test_tilted_gantry_and_uneven_steps_come_out_straight(series, tmp_path, tilt_deg, uneven):
    angle = np.radians(tilt_deg)
    orientation = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    heights = np.cumsum(np.tile([1.0, 0.6], 20)) - 16 if uneven else None
    scanned(series, orientation, table_mm=(0, 0, 1), step_mm=5.0, heights=heights, spacing_mm=(3, 3)).write(tmp_path)
    grid = Grid(shape=(40, 48, 40), voxel_mm=3.0)
    z, y, x = np.meshgrid(*(grid.centres_mm(axis) for axis in range(3)), indexing="ij")
    truth = phantom(x, y, z)
    straight = resample(decoded(tmp_path), IDENTITY, grid)
    # Only edges differ: within half a voxel of water's surface a slice's step decides.
    assert np.mean(abs(straight - truth) > 500) < 0.05
    for place, value in MARKERS:
        assert place_of(straight, grid, value) == pytest.approx(place, abs=2.5)


def reference(stack, pose, grid):
    """Every voxel by itself: find the two slices, follow the origins between them, interpolate in the plane."""
    result = np.full(grid.shape, AIR_HU)
    for index in np.ndindex(*grid.shape):
        canonical = np.array([grid.centres_mm(axis)[index[axis]] for axis in (2, 1, 0)])
        point = pose.rotation @ canonical + pose.centre_mm
        place = stack.normal @ point
        positions = stack.positions_mm
        lower = int(np.clip(np.searchsorted(positions, place) - 1, 0, len(positions) - 2))
        share = (place - positions[lower]) / (positions[lower + 1] - positions[lower])
        if not -0.5 <= share + lower <= len(positions) - 0.5:
            continue
        share = min(max(share, 0.0), 1.0)
        origin = (1 - share) * stack.origins_mm[lower] + share * stack.origins_mm[lower + 1]
        row = (point - origin) @ stack.row_mm / (stack.row_mm @ stack.row_mm)
        column = (point - origin) @ stack.column_mm / (stack.column_mm @ stack.column_mm)
        if not (-0.5 <= row <= stack.hu.shape[1] - 0.5 and -0.5 <= column <= stack.hu.shape[2] - 0.5):
            continue
        total = 0.0
        row, column = np.clip(row, 0, stack.hu.shape[1] - 1), np.clip(column, 0, stack.hu.shape[2] - 1)
        for down, across in itertools.product((0, 1), (0, 1)):
            i, j = min(int(row) + down, stack.hu.shape[1] - 1), min(int(column) + across, stack.hu.shape[2] - 1)
            weight = abs(1 - down - row % 1) * abs(1 - across - column % 1)
            total += weight * ((1 - share) * stack.hu[lower, i, j] + share * stack.hu[lower + 1, i, j])
        result[index] = total
    return result


@pytest.mark.parametrize("seed", range(3))
def test_resampling_equals_a_plain_reference(seed):
    rng = np.random.default_rng(seed)
    angle = np.radians(rng.uniform(-25, 25))
    positions = np.cumsum(rng.uniform(2, 6, 9))
    stack = SliceStack(
        rng.uniform(-1000, 2000, (9, 12, 10)).astype(np.float32),
        np.outer(positions, [0.02, 0.03, 1.0]) - [12, 16, 20],
        np.array([0, np.cos(angle), -np.sin(angle)]) * 3.1,
        np.array([2.7, 0, 0]),
        -1000.0,
        1500.0,
    )
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    pose = Pose(turn * np.linalg.det(turn), rng.uniform(-4, 4, 3))
    grid = Grid(shape=(9, 10, 8), voxel_mm=4.1)
    assert resample(stack, pose, grid) == pytest.approx(reference(stack, pose, grid), abs=0.5)


def test_what_was_not_scanned_is_air_and_is_known(series, tmp_path):
    scanned(series, ORIENTATIONS["axial"]).write(tmp_path)
    stack = decoded(tmp_path)
    grid = Grid(shape=(80, 80, 80), voxel_mm=4.0)
    volume, seen = resample_with_extent(stack, IDENTITY, grid)
    assert (volume[~seen] == AIR_HU).all()
    scanned_mm = [np.ptp(grid.centres_mm(axis)[np.unique(np.nonzero(seen)[axis])]) + 4.0 for axis in range(3)]
    assert scanned_mm == pytest.approx([160, 180, 192], abs=4.0)


@pytest.mark.parametrize(("voxel_mm", "factor"), [(1.0, 1), (2.5, 1), (2.51, 2), (5.0, 2), (7.5, 3), (7.6, 4)])
def test_fine_voxels_are_whole_fractions_of_at_most_two_and_a_half_mm(voxel_mm, factor):
    grid = Grid(shape=(16, 24, 8), voxel_mm=voxel_mm)
    fine = fine_grid(grid)
    assert fine_factor(grid) == factor
    assert fine.voxel_mm <= 2.5 + 1e-9
    assert fine.extent_mm == pytest.approx(grid.extent_mm)


def test_a_volume_beyond_all_memory_is_refused():
    with pytest.raises(Refusal) as refusal:
        fine_grid(Grid(shape=(1024, 1024, 1024), voxel_mm=1.0))
    assert refusal.value.code is ExitCode.GEOMETRY_INVALID


@pytest.mark.real_heads
def test_a_real_tilted_series_equals_its_twin_straightened_by_others(unzipped, real_ct):
    stack = decoded(unzipped("dicom/03_ge_hispeed_gantry_tilt.zip"))
    twin = sitk.ReadImage(str(real_ct / "nifti" / "03_ge_hispeed_tilt_corrected.nii.gz"), sitk.sitkFloat32)
    grid = Grid(shape=(104, 112, 112), voxel_mm=2.0)
    # Clear of the first and last slice, where the twin was cut a little differently.
    centre = np.array([-3.0, -5.0, 45.0])
    frame = sitk.Image(112, 112, 104, sitk.sitkFloat32)
    frame.SetSpacing((2.0, 2.0, 2.0))
    frame.SetOrigin([float(c - (n - 1)) for c, n in zip(centre, (112, 112, 104), strict=True)])
    expected = sitk.GetArrayFromImage(sitk.Resample(twin, frame, sitk.Transform(), sitk.sitkLinear, AIR_HU))
    volume, seen = resample_with_extent(stack, Pose(np.eye(3), centre), grid)
    inside = seen & np.roll(seen, 4, 0) & np.roll(seen, -4, 0)
    difference = abs(volume - np.clip(expected, AIR_HU, None))[inside]
    shifted = abs(np.roll(volume, 1, 1) - np.clip(expected, AIR_HU, None))[inside]
    assert difference.mean() < 12
    assert difference.mean() < shifted.mean() / 2


def canonical(folder):
    """The head in the canonical frame through the pipeline's own steps, whatever its verdict, and its alignment."""
    body = find_body(decoded(folder, 2.0))
    alignment = align(body.stack, body.brain_guesses_mm)
    return body.stack, alignment


def mirrored_hu(stack, pose, roll_deg, grid):
    """Mean HU between a head, turned about its front-to-back axis, and its mirror image."""
    turned = Pose(pose.rotation @ Rotation.from_euler("y", roll_deg, degrees=True).as_matrix(), pose.centre_mm)
    volume = np.clip(resample(stack, turned, grid), -200, 800)
    return float(np.abs(volume - volume[:, :, ::-1]).mean())


def midline_mm(plane, voxel_mm):
    """How far from the middle of an axial plane the line lies about which its left and right are most alike."""
    shifts = range(-5, 6)
    apart = [np.abs(np.roll(plane, shift, 1) - plane[:, ::-1])[:, 6:-6].mean() for shift in shifts]
    return -shifts[int(np.argmin(apart))] * voxel_mm / 2


@pytest.mark.real_heads
@pytest.mark.parametrize("name", ["03_ge_hispeed_gantry_tilt", "09_philips_plastic_skull_tilt_minus18"])
def test_tilted_heads_come_out_straight(unzipped, name):
    """Left and right are most alike about the pose's middle, in every axial plane, and only with the shear undone.

    09 is an empty plastic skull, which is no head: its volume is judged all the same.
    """
    folder = unzipped(f"dicom/{name}.zip")
    stack, alignment = canonical(folder)
    grid = Grid(shape=(40, 60, 56), voxel_mm=3.0)
    by_roll = {roll: mirrored_hu(stack, alignment.pose, roll, grid) for roll in (-8, -4, 0, 4, 8)}
    assert min(by_roll, key=by_roll.__getitem__) == 0
    assert by_roll[0] < 0.75 * min(by_roll[-8], by_roll[8])
    volume = np.clip(resample(stack, alignment.pose, grid), -200, 800)
    middles = [midline_mm(plane, grid.voxel_mm) for plane in volume[8:32]]
    assert np.abs(middles).max() <= 4.5
    assert np.abs(np.diff(middles)).max() <= 3.0
    # The same slices stacked as if the table had moved along their normal: what software without the correction does.
    normal = stack.normal
    sheared = replace(
        stack, origins_mm=stack.origins_mm[0] + np.outer(stack.positions_mm - stack.positions_mm[0], normal)
    )
    body = find_body(sheared)
    uncorrected = align(body.stack, body.brain_guesses_mm)
    assert alignment.residual_hu < 0.95 * uncorrected.residual_hu
