"""Scales are judged by what most of the air is, and values that wrapped around are told from metal and from noise."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from client.archive import VerdictCode
from client.case import Case
from client.case.value_survey import ValueSurvey

WRAPPED = VerdictCode.VALUES_WRAPPED
CLIP = (slice(22, 25), slice(34, 41), slice(28, 36))


def noisy(head_hu, spread_hu, air=True):
    noise = np.random.default_rng(7).normal(0, spread_hu, head_hu.shape)
    return np.rint(np.where(air | (head_hu > -900), head_hu + noise, head_hu))


def with_metal(head_hu, metal_hu, blur_pixels):
    """A block of metal in a head with noise, as sharp as the scanner shows it."""
    metal = np.zeros(head_hu.shape)
    metal[CLIP] = metal_hu
    if blur_pixels:
        metal = ndimage.gaussian_filter(metal, (0, blur_pixels, blur_pixels))
    return noisy(head_hu, 5, air=False) + metal


def wrapped(hu, lowest):
    return (np.rint(hu) - lowest).astype(np.int64) % 4096 + lowest


def test_the_faulty_series_are_judged(of_fault):
    assert of_fault("29") is WRAPPED
    noisy_air, twin = of_fault("39"), of_fault("00")
    assert isinstance(noisy_air, Case)
    # Noise of 120 HU stays in the head; it is the scale that must not have moved.
    difference = noisy_air.volume_hu.astype(float) - twin.volume_hu
    assert abs(np.median(difference[twin.volume_hu > -200])) < 5


@pytest.mark.parametrize("spread_hu", [80.0, 100.0, 120.0])
@pytest.mark.parametrize("offset_hu", [0.0, 40.0, -30.0])
def test_noisy_air_is_air(head_hu, head_series, outcome, tmp_path, spread_hu, offset_hu):
    writer = head_series(intercept=-8192.0)
    writer.hu = noisy(np.where(head_hu < -900, head_hu + offset_hu, head_hu), spread_hu)
    writer.write(tmp_path)
    case = outcome(tmp_path)
    assert isinstance(case, Case)
    assert case.facts.air_hu == pytest.approx(-1000 + offset_hu, abs=25)


@pytest.mark.parametrize("spread_hu", [5.0, 100.0])
@pytest.mark.parametrize("offset_hu", [1024.0, 300.0, -400.0])
def test_air_that_is_none_is_refused_however_noisy(head_hu, head_series, outcome, tmp_path, spread_hu, offset_hu):
    writer = head_series(intercept=-8192.0)
    writer.hu = noisy(head_hu, spread_hu) + offset_hu
    writer.write(tmp_path)
    assert outcome(tmp_path) is VerdictCode.HU_IMPLAUSIBLE


def test_a_window_is_no_scale(head_hu, head_series, outcome, tmp_path):
    writer = head_series(intercept=0.0)
    writer.hu = np.rint(np.clip((head_hu + 160) / 400, 0, 1) * 255)
    writer.write(tmp_path)
    assert outcome(tmp_path) is VerdictCode.HU_IMPLAUSIBLE


@pytest.mark.parametrize("lowest", [-2048, -3072])
@pytest.mark.parametrize("metal_hu", [5000.0, 7500.0, 12_000.0])
@pytest.mark.parametrize("blur_pixels", [0.0, 0.6])
def test_metal_beyond_12_bits_is_told(head_hu, head_series, outcome, tmp_path, lowest, metal_hu, blur_pixels):
    writer = head_series(intercept=-8192.0)
    writer.hu = wrapped(with_metal(head_hu, metal_hu, blur_pixels), lowest)
    writer.write(tmp_path)
    assert outcome(tmp_path) is WRAPPED


@pytest.mark.parametrize("highest", [3071, 2976, 30_710])
@pytest.mark.parametrize("blur_pixels", [0.0, 0.6])
def test_metal_that_is_cut_off_or_stored_whole_is_metal(head_hu, head_series, outcome, tmp_path, highest, blur_pixels):
    writer = head_series(intercept=-8192.0 if highest < 20_000 else 0.0)
    writer.hu = np.minimum(with_metal(head_hu, 15_000.0, blur_pixels), highest)
    writer.write(tmp_path)
    assert isinstance(outcome(tmp_path), Case)


def test_a_head_without_noise_is_no_plateau(head_hu, head_series, outcome, tmp_path):
    head_series().write(tmp_path)
    assert isinstance(outcome(tmp_path), Case)


@given(
    st.dictionaries(st.integers(0, 12), st.integers(1, 120), max_size=8),
    st.integers(0, 12),
    st.integers(0, 400),
    st.sampled_from([0, 500, 3000, 20_000, 100_000]),
)
def test_the_share_of_a_plateau_is_whole_just_where_the_plain_rule_sees_one(counts, peak, other_blocks, body_pixels):
    survey = ValueSurvey(0.5)
    survey._flats = Counter({float(value): count for value, count in counts.items()})
    survey._peak_hu, survey._body_pixels = float(peak), body_pixels
    survey._flat_blocks = sum(counts.values()) + other_blocks
    alone = [
        count
        for value, count in counts.items()
        if value < peak and count >= 12 + 5 * max(_beside(counts, value), default=0)
    ]
    largest = max(alone, default=0)
    plain = 0 < largest <= 0.05 * body_pixels and survey._flat_blocks - largest <= 0.005 * body_pixels
    assert (survey.wrapped_share >= 1) is plain


def _beside(counts, value):
    """Counts of the next values that occur, below and above."""
    below, above = [v for v in counts if v < value], [v for v in counts if v > value]
    return [counts[v] for v in ([max(below)] if below else []) + ([min(above)] if above else [])]


def test_streaks_below_padding_beside_metal_in_an_extended_scale_are_no_holes():
    hu = np.random.default_rng(0).normal(40, 5, (96, 96)).astype(np.float32)
    hu[40:50, 30:36], hu[40:50, 44:50], hu[42:48, 37:43] = 9000, 9000, -2200
    survey = ValueSurvey(0.5)
    survey.take(np.zeros_like(hu, np.int16), np.full_like(hu, 40) + np.arange(96, dtype=np.float32), None)
    survey.take(np.rint(hu).astype(np.int16), hu, None)
    assert survey.wrapped_share == 0


@pytest.mark.parametrize(("lowest", "metal_hu"), [(-1024, 4500.0), (-1024, 20_000.0), (-2048, 9000.0), (-3072, 4000.0)])
def test_blurred_metal_that_wraps_falls_from_the_top_of_the_range(lowest, metal_hu):
    """A clip of 8 mm in pixels of 0.5 mm, with the noise of metal; the same cut off at the top is none."""
    rng = np.random.default_rng(3)
    metal = np.zeros((96, 96))
    metal[40:56, 40:56] = metal_hu
    hu = ndimage.gaussian_filter(metal, 1.2) + rng.normal(40, 5, metal.shape) + rng.normal(0, 0.02, metal.shape) * metal
    for values, expected in ((wrapped(hu, lowest), True), (np.clip(hu, lowest, lowest + 4095), False)):
        survey = ValueSurvey(0.5)
        for plane in (rng.normal(40, 5, metal.shape), values, values):
            survey.take(np.rint(plane).astype(np.int16), np.rint(plane).astype(np.float32), None)
        assert (survey.wrapped_share >= 1) is expected


@pytest.mark.parametrize("pixel_mm", [0.5, 1.0, 2.0])
def test_metal_as_wide_as_an_implant_that_wraps_is_told_and_the_same_cut_off_is_none(pixel_mm):
    """Titanium of 12 mm in dense bone, blurred by 0.6 mm; cut off at any height, with a dark streak through it."""
    size = round(100 / pixel_mm)
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * pixel_mm
    away = np.hypot(y, x)
    share = ndimage.gaussian_filter(np.clip((6 - away) / pixel_mm + 0.5, 0, 1), 0.6 / pixel_mm)
    rng = np.random.default_rng(5)
    bone = np.where(away < 12, 1500.0, 40.0) + rng.normal(0, 4, away.shape)
    hu = bone + share * (7200 * rng.normal(1, 0.02, away.shape) - bone)
    streaked = np.where((np.abs(x - y) < 1.5) & (away < 20), hu - 2500 - share * 5000, hu)
    for values, expected in (
        (wrapped(hu, -1024), True),
        (np.clip(hu, -1024, 3071), False),
        (np.clip(streaked, -1024, 3071), False),
        (np.clip(streaked, -1024, 2976), False),
    ):
        survey = ValueSurvey(pixel_mm)
        for plane in (bone, values, values, values, bone):
            survey.take(np.rint(plane).astype(np.int16), np.rint(plane).astype(np.float32), None)
        assert (survey.wrapped_share >= 1) is expected


@pytest.mark.parametrize("metal_hu", [-796, 1000, 500])
def test_a_small_plateau_is_told_whichever_rows_it_covers(metal_hu):
    """Metal of one value, 6 mm wide in one slice of pixels of 0.5 mm: the extended scale is cut off before it wraps."""
    rng = np.random.default_rng(1)
    for row in range(40, 44):
        hu = rng.normal(40, 5, (512, 512))
        hu[row - 4 : row + 16, 40:60] = rng.normal(1500, 5, (20, 20))
        hu[row : row + 12, 44:56] = metal_hu
        survey = ValueSurvey(0.5)
        for plane in (rng.normal(40, 5, hu.shape), hu):
            survey.take(np.rint(plane).astype(np.int16), np.rint(plane).astype(np.float32), None)
        assert survey.wrapped_share >= 1
