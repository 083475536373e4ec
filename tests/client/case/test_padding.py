"""Padding of every kind makes the case that the same head without it makes; a head cut by a small circle is refused."""

from __future__ import annotations

import numpy as np
import pytest

from client.archive import VerdictCode
from client.case import Case
from tests.client.archives import axial_origins

SHAPE = (120, 120)
PIXEL_MM = 3.0


def wide(head_hu, radius_pixels=50.0):
    """The head in a wider image, noisy where it is no air, and which pixels lie outside a circle."""
    noise = np.random.default_rng(4).normal(0, 6, head_hu.shape)
    head = np.where(head_hu > -900, np.rint(head_hu + noise), -1000)
    image = np.full((len(head), *SHAPE), -1000)
    image[:, 20:100, 28:92] = head
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return image, np.hypot(y - 59.5, x - 59.5) > radius_pixels


def written(series, folder, words, *, bits, signed, intercept, tags):
    """Words as they are, whatever a header says of them."""

    def restate(dataset, index):
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, int(signed)
        dataset.PixelData = (words[index].astype(np.int64) & 0xFFFF).astype("<u2").tobytes()
        for keyword, value in tags.items():
            dataset.add_new(keyword, "SS" if signed else "US", value)

    origins = axial_origins(len(words), 6.0, (-178.5, -178.5, -117.0))
    series(words, origins=origins, spacing_mm=(PIXEL_MM,) * 2, intercept=intercept, edit=restate).write(folder)


@pytest.fixture(scope="module")
def twin(head_hu, series, outcome, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("twin")
    image, _ = wide(head_hu)
    written(series, folder, image + 1024, bits=16, signed=True, intercept=-1024.0, tags={})
    case = outcome(folder)
    assert isinstance(case, Case)
    return case


def agrees(case, twin):
    assert isinstance(case, Case), case
    return float(np.abs(case.volume_hu.astype(float) - twin.volume_hu).mean())


@pytest.mark.parametrize("number", ["30", "33", "34"])
def test_the_faulty_series_come_out_as_their_sound_twin(of_fault, number):
    assert agrees(of_fault(number), of_fault("30w")) <= 2


VALUE, LIMIT = 0x00280120, 0x00280121


@pytest.mark.parametrize(
    ("padding", "bits", "signed", "intercept", "tags"),
    [
        (4095, 12, False, -1024, {VALUE: 4095}),
        (4095, 12, False, -1024, {}),
        (0, 16, True, 0, {VALUE: 0}),
        (0, 16, True, 0, {}),
        (-3024, 12, True, 0, {VALUE: -3024}),
        (-3024, 12, True, 0, {}),
        (-2000, 12, False, -1024, {VALUE: 63536}),
        (63536, 12, False, -1024, {}),
        (63536, 16, False, -1024, {VALUE: 63536}),
        (32767, 16, True, 0, {VALUE: 32767}),
        (32767, 16, True, -1024, {}),
        (32767, 16, True, -8192, {VALUE: 32767}),
        (-32768, 16, True, -1024, {VALUE: -32768}),
        (-2000, 16, True, 0, {VALUE: -3000, LIMIT: -1500}),
        (-2000, 16, True, 0, {VALUE: -1500, LIMIT: -3000}),
        (40, 16, True, 0, {VALUE: 30, LIMIT: 50}),
        (1072, 16, True, 0, {}),
        (0, 12, False, -1024, {VALUE: 0}),
    ],
    ids=str,
)
@pytest.mark.parametrize("radius_pixels", [50.0, 60.5])
def test_padding_outside_a_circle_becomes_air(
    head_hu, series, outcome, tmp_path, twin, padding, bits, signed, intercept, tags, radius_pixels
):
    image, outside = wide(head_hu, radius_pixels)
    words = image - intercept
    words[:, outside] = padding
    written(series, tmp_path, words, bits=bits, signed=signed, intercept=float(intercept), tags=tags)
    assert agrees(outcome(tmp_path), twin) <= 2


def test_a_range_of_several_padding_values_becomes_air(head_hu, series, outcome, tmp_path, twin):
    image, outside = wide(head_hu)
    image[:, outside] = np.where(np.arange(SHAPE[1]) % 2, 3000, 3001)[None, :].repeat(SHAPE[0], 0)[outside]
    tags = {VALUE: 3000, LIMIT: 3005}
    written(series, tmp_path, image, bits=16, signed=True, intercept=0.0, tags=tags)
    assert agrees(outcome(tmp_path), twin) <= 2


def test_tissue_of_the_padding_value_stays(head_hu, series, outcome, tmp_path, twin):
    """Many pixels in the brain at exactly the value that is padding."""
    image, outside = wide(head_hu)
    image[np.random.default_rng(1).random(image.shape) < 0.1 * (image > 0)] = 0
    image[:, outside] = 0
    written(series, tmp_path / "padded", image, bits=16, signed=True, intercept=0.0, tags={VALUE: 0})
    image[:, outside] = -1000
    written(series, tmp_path / "sound", image, bits=16, signed=True, intercept=0.0, tags={})
    assert agrees(outcome(tmp_path / "padded"), outcome(tmp_path / "sound")) == 0


@pytest.mark.parametrize("overlay", [0x1000, 0xF000, 0x6000])
@pytest.mark.parametrize("signed", [True, False])
def test_overlays_in_the_bits_that_are_not_stored_mean_nothing(
    head_hu, series, outcome, tmp_path, twin, overlay, signed
):
    image, _ = wide(head_hu)
    words = np.clip(image, -2048, 2047) & 0xFFF if signed else np.clip(image + 1024, 0, 4095)
    words[:, 40:50, 30:90] |= overlay
    intercept = 0.0 if signed else -1024.0
    written(series, tmp_path, words, bits=12, signed=signed, intercept=intercept, tags={})
    assert agrees(outcome(tmp_path), twin) <= 2


@pytest.mark.parametrize("padding", [-2000, 3071, 0])
@pytest.mark.parametrize(("radius_pixels", "verdict"), [(34.0, VerdictCode.ACCEPTED), (26.0, "cut")])
def test_a_head_that_a_small_circle_cuts_is_told_from_one_that_fits(
    head_hu, series, outcome, tmp_path, padding, radius_pixels, verdict
):
    image, outside = wide(head_hu, radius_pixels)
    image[:, outside] = padding
    written(series, tmp_path, image, bits=16, signed=True, intercept=0.0, tags={VALUE: padding})
    found = outcome(tmp_path)
    if verdict == "cut":
        assert found is VerdictCode.FIELD_OF_VIEW_CUT
    else:
        assert isinstance(found, Case)
        assert found.facts.cut_share <= 0.2
