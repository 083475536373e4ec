from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from client.virtual_hospital.scanner_style import STYLES, Acquisition, ScannerStyle, acquire, correlated_noise

VOXEL_MM = 3.0
SHAPE = (50, 64, 60)
MARKER_MM = (31.0, -24.0, 20.0)
EVERY_STYLE = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)


def lattice() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * VOXEL_MM for n in SHAPE], indexing="ij")
    return x, y, z


def water(marker: bool = False) -> NDArray[np.int16]:
    x, y, z = lattice()
    volume = np.where(np.hypot(x, y) < 80.0, 0, -1000)
    if marker:
        a, b, c = MARKER_MM
        volume[np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) < 9.0] = 2000
    return volume.astype(np.int16)


def pixel_places(acquisition: Acquisition) -> NDArray[np.float64]:
    """LPS of every pixel by the definition of PS3.3 C.7.6.2.1.1: (slice, row, column, 3)."""
    row = np.array(acquisition.orientation[:3]) * acquisition.pixel_mm
    column = np.array(acquisition.orientation[3:]) * acquisition.pixel_mm
    n = acquisition.slices_hu.shape[1]
    steps = np.arange(n)[:, None, None] * column + np.arange(n)[None, :, None] * row
    return acquisition.positions_mm[:, None, None, :] + steps[None]


@EVERY_STYLE
def test_left_anterior_superior_lands_there_whatever_the_tilt(style: ScannerStyle) -> None:
    acquisition = acquire(water(marker=True), VOXEL_MM, style, 3, matrix=128)
    bright = acquisition.slices_hu > 900
    centre = pixel_places(acquisition)[bright].mean(axis=0)
    assert np.allclose(centre, MARKER_MM, atol=0.5 * max(style.slice_mm))


@EVERY_STYLE
@pytest.mark.parametrize("matrix", [256, 512])
def test_noise_has_the_deviation_of_the_style(style: ScannerStyle, matrix: int) -> None:
    acquisition = acquire(water(), VOXEL_MM, replace(style, slice_mm=(24.0,)), 3, matrix=matrix)
    centre = matrix // 2
    reach = int(25 / acquisition.pixel_mm)
    middle = acquisition.slices_hu[1:4, centre - reach : centre + reach, centre - reach : centre + reach]
    assert float(middle.std()) == pytest.approx(style.noise_hu, rel=0.15)


def test_noise_is_correlated_between_pixels_and_not_between_slices() -> None:
    style = STYLES["siemens"]
    noise = correlated_noise(np.random.default_rng(0), (6, 128, 128), 0.5, style)
    unit = noise / noise.std()
    assert np.mean(unit[:, :, 1:] * unit[:, :, :-1]) > 0.4
    assert abs(np.mean(unit[1:] * unit[:-1])) < 0.02
    assert abs(float(noise.mean())) < 0.1


@EVERY_STYLE
def test_outside_the_circle_there_is_padding_and_inside_none_below_air(style: ScannerStyle) -> None:
    slices = acquire(water(), VOXEL_MM, style, 1, matrix=128).slices_hu
    offset = np.arange(128) - 63.5
    outside = offset[:, None] ** 2 + offset[None, :] ** 2 > 64.0**2
    assert np.all(slices[:, outside] == style.padding_hu)
    assert slices[:, ~outside].min() >= -1024


def test_a_smaller_matrix_keeps_the_field_of_view() -> None:
    style = STYLES["toshiba"]
    small, large = (acquire(water(), VOXEL_MM, style, 1, matrix=n) for n in (128, 512))
    assert small.pixel_mm * 128 == pytest.approx(large.pixel_mm * 512) == pytest.approx(0.527 * 512)
    assert large.slices_hu.shape[1:] == (512, 512)
    assert small.slices_hu.dtype == np.int16


def test_tilted_slices_lean_and_step_along_the_table() -> None:
    acquisition = acquire(water(), VOXEL_MM, STYLES["ge-hispeed"], 1, matrix=128)
    assert acquisition.orientation == pytest.approx((1, 0, 0, 0, 0.9483237, -0.3173047), abs=1e-6)
    steps = np.diff(acquisition.positions_mm, axis=0)
    assert np.all(steps[:, :2] == 0), "the table moves along z alone: the stack is sheared"
    assert set(np.round(steps[:, 2], 2)) == {4.22, 7.38}
    assert np.all(np.diff(acquisition.thickness_mm) >= 0)
    assert set(acquisition.thickness_mm) == {4.0, 7.0}


def test_slices_equal_plain_interpolation_at_their_true_places() -> None:
    rng = np.random.default_rng(5)
    volume = ndimage.gaussian_filter(rng.normal(0, 3000, SHAPE), 2.0).astype(np.int16)
    ideal = replace(STYLES["ge-hispeed"], slice_mm=(2.8,), noise_hu=0.0, mtf_sigma_mm=0.01)
    acquisition = acquire(volume, VOXEL_MM, ideal, 2, matrix=64)
    places = pixel_places(acquisition)
    index = [places[..., 2 - axis] / VOXEL_MM + (SHAPE[axis] - 1) / 2 for axis in range(3)]
    plain = ndimage.map_coordinates(volume.astype(np.float64) + 1000, index, order=1, mode="grid-constant") - 1000
    inside = (acquisition.slices_hu != ideal.padding_hu) & (plain > -250)
    assert inside.sum() > 20_000
    assert np.abs(acquisition.slices_hu - plain)[inside].max() <= 1.0


def test_a_thick_slice_is_the_mean_over_its_thickness() -> None:
    volume = np.full(SHAPE, -1000, dtype=np.int16)
    volume[:, 16:48, 15:45] = 0
    volume[25, 16:48, 15:45] = 1500
    style = replace(STYLES["toshiba"], slice_mm=(12.0,), noise_hu=0.0)
    centre = acquire(volume, VOXEL_MM, style, 1, matrix=64).slices_hu[:, 32, 32].astype(float)
    # One plane of 3 mm at 1500 HU within a slice of 12 mm.
    assert centre.max() == pytest.approx(1500 * 3 / 12, abs=2.0)


@EVERY_STYLE
def test_the_head_lies_on_a_table_behind_it(style: ScannerStyle) -> None:
    empty = replace(style, noise_hu=0.0, mask=False)
    acquisition = acquire(water(), VOXEL_MM, empty, 1, matrix=256)
    places = pixel_places(acquisition)[5]
    plane = acquisition.slices_hu[5]
    outside = (np.hypot(places[..., 0], places[..., 1]) > 84.0) & (plane > -980)
    assert outside.sum() > 100
    assert places[..., 1][outside].min() > 30.0
    assert plane[outside].max() < 0


def test_a_couch_for_radiotherapy_reaches_across_the_image_and_a_mask_touches_the_head() -> None:
    style = replace(STYLES["radiotherapy"], noise_hu=0.0)
    masked, bare = (acquire(water(), VOXEL_MM, one, 1, matrix=256) for one in (style, replace(style, mask=False)))
    places = pixel_places(masked)[5]
    added = masked.slices_hu[5].astype(int) - bare.slices_hu[5]
    on_the_skin = (added > 100) & (places[..., 1] < -20.0)
    assert on_the_skin.sum() > 50
    assert np.hypot(places[..., 0], places[..., 1])[on_the_skin].max() < 90.0
    behind = np.where(places[..., 1] > 86.0, bare.slices_hu[5], -1000)
    row = bare.slices_hu[5][np.argmax((behind > -500).sum(axis=1))]
    seen = row != style.padding_hu
    assert (row[seen] > -950).all()
    assert seen.sum() * bare.pixel_mm > 350.0


def test_equal_seeds_give_equal_scans_and_other_seeds_other_ones() -> None:
    first, again, other = (acquire(water(), VOXEL_MM, STYLES["toshiba"], seed, matrix=64) for seed in (1, 1, 2))
    assert np.array_equal(first.slices_hu, again.slices_hu)
    assert np.array_equal(first.positions_mm, again.positions_mm)
    assert first.slices_hu.shape != other.slices_hu.shape or not np.array_equal(first.slices_hu, other.slices_hu)


def test_heads_lie_off_centre_and_scans_end_at_different_heights() -> None:
    scans = [acquire(water(), VOXEL_MM, STYLES["toshiba"], seed, matrix=64) for seed in range(6)]
    first = np.array([scan.positions_mm[0] for scan in scans])
    assert np.all(np.ptp(first, axis=0) > 1.0)
    assert np.all(np.ptp(first[:, :2], axis=0) <= 8.0)


@EVERY_STYLE
def test_a_head_fits_the_field_of_view(style: ScannerStyle) -> None:
    assert style.pixel_mm * style.matrix > 240.0
    assert STYLES[style.name] is style


def test_an_empty_volume_is_still_scanned() -> None:
    nothing = np.full((20, 20, 20), -1000, dtype=np.int16)
    assert len(acquire(nothing, VOXEL_MM, STYLES["toshiba"], 1, matrix=64).slices_hu) > 10
