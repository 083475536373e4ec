"""The likeness of film and DRR, against its definition written down plainly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from client.pose.local_likeness import LEAST_SHARE, NOISE_VARIANCE, STRUCTURE_VARIANCE, WINDOW, FilmWindows
from client.pose.posed_drr import UNKNOWN

SHAPE = (31, 27)


def images(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    film, other = (ndimage.gaussian_filter(random.normal(size=SHAPE), 1.5).astype(np.float32) for _ in range(2))
    exposed = np.ones(SHAPE, dtype=bool)
    exposed[:6] = exposed[:, -4:] = False
    exposed[15:18, 10:13] = False
    return film, (0.7 * film + 0.5 * other).astype(np.float32), exposed


def plainly(film: NDArray[np.float32], drr: NDArray[np.float32], exposed: NDArray[np.bool_]) -> float:
    total = weights = 0.0
    half = WINDOW // 2
    for row, column in zip(*np.nonzero(exposed), strict=True):
        window = slice(max(row - half, 0), row + half + 1), slice(max(column - half, 0), column + half + 1)
        one, other = (image[window][exposed[window]].astype(np.float64) for image in (film, drr))
        if one.size < LEAST_SHARE * WINDOW**2:
            continue
        shared = np.mean((one - one.mean()) * (other - other.mean()))
        weight = one.var() / (one.var() + STRUCTURE_VARIANCE)
        total += weight * shared / np.sqrt((one.var() + NOISE_VARIANCE) * (other.var() + NOISE_VARIANCE))
        weights += weight
    return total / weights


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_likeness_is_the_mean_correlation_within_windows(seed: int) -> None:
    film, drr, exposed = images(seed)
    assert FilmWindows(film, exposed).likeness(drr) == pytest.approx(plainly(film, drr, exposed), abs=1e-6)


def test_gain_offset_and_what_is_masked_do_not_count() -> None:
    film, drr, exposed = images(4)
    windows = FilmWindows(film, exposed)
    plain = windows.likeness(drr)
    assert windows.likeness(1.4 * drr + 2.0) == pytest.approx(plain, abs=0.01)
    assert windows.likeness(np.where(exposed, drr, 99).astype(np.float32)) == plain
    assert FilmWindows(np.where(exposed, film, -50).astype(np.float32), exposed).likeness(drr) == plain
    assert windows.likeness(film) > 0.95 > plain > windows.likeness(film[:, ::-1])


def test_differences_are_small_for_what_is_alike() -> None:
    film, drr, exposed = images(5)
    alike, near, far = FilmWindows(film, exposed).differences([film, drr, film[:, ::-1]])
    assert np.abs(alike).max() == pytest.approx(0, abs=1e-9)
    assert (near**2).sum() < (far**2).sum()


def test_what_the_drr_does_not_know_does_not_count_and_gains_nothing() -> None:
    film, drr, exposed = images(7)
    windows = FilmWindows(film, exposed)
    known = np.ones(SHAPE, dtype=bool)
    known[20:] = False
    marked = np.where(known, drr, 2 * UNKNOWN).astype(np.float32)
    assert windows.likeness(marked) == pytest.approx(plainly(film, drr, exposed & known), abs=1e-6)
    spoilt = np.where(known, drr, 9 * UNKNOWN).astype(np.float32)
    assert np.array_equal(windows.differences([marked])[0], windows.differences([spoilt])[0])
    # Two poses are compared where both know what they show.
    one, other = windows.differences([drr, marked])
    assert np.array_equal(one, other)
    alike = np.where(known, film, 2 * UNKNOWN).astype(np.float32)
    assert windows.likeness(alike) > 0.95
    assert windows.evidence(film) == windows.likeness(film) > windows.evidence(alike) > 0.75
    nothing = np.full(SHAPE, 2 * UNKNOWN, np.float32)
    assert windows.likeness(nothing) == 0
    assert windows.evidence(nothing) == pytest.approx(0.75)


def test_a_film_without_anything_is_like_nothing() -> None:
    film, drr, exposed = images(6)
    assert FilmWindows(np.zeros_like(film), exposed).likeness(drr) == 0
    assert FilmWindows(film, np.zeros_like(exposed)).likeness(drr) == 0
