"""Which way round a head lies, by its content: the recorded axes against the other ways that axes can be named.

The template is its own mirror image, left for right. So of the 48 rotations and mirror images of the axes each two fit
alike, a rotation and its left-right mirror image: 24 pairs are told apart, and left from right alone is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from client.case.decoding import Volume, block_mean
from client.case.rigid_fit import SAMPLING_MM, Array, Fit, Surroundings, Target, pitched, refined, start_at
from client.case.template import WINDOW_HU, TemplateLevel, template_levels

START_PITCHES_DEG = (0.0, -20.0, 20.0)
# By their places alone, then after a few steps, only the most promising orientations go on.
PROMISING, FIRST_ITERATIONS = 9, 2
KEPT, LAST_ITERATIONS = 3, 6
THINNED, THINNED_ITERATIONS = 4, 3
LONG_ITERATIONS = 10
# A narrower first look might have left the winner early.
NARROW_MARGIN = 0.15
AS_SCANNED = 0.9
_BLOCK = 5
_CELLS = 21
_MIDDLE = _CELLS // 2
_SCREEN_UNSCANNED_HU = 200.0

Refine = Callable[[Callable[[Fit], Fit], Sequence[Fit]], list[Fit]]


@final
@dataclass(frozen=True)
class Contest:
    """The best fits found in the recorded orientation and in any other."""

    recorded: Fit
    rival: Fit

    @property
    def margin(self) -> float:
        """By which share more the rival leaves unexplained; below 0 it explains the head better."""
        return unexplained(self.rival) / unexplained(self.recorded) - 1.0


@final
@dataclass(frozen=True)
class _Supposed:
    """The template in one axis orientation and pitch, as Fourier transforms of sums over its points in each cell.

    Attributes:
        frame: (3, 3), the orientation.
        pitch_deg: the pitch.
        spectra: (3, cells, cells, half), conjugates: sum of squared HU, minus twice the sum of HU, number of points.
    """

    frame: Array
    pitch_deg: float
    spectra: NDArray[np.complex64]


def axis_frames() -> list[Array]:
    """The 24 proper rotations that bring axes onto axes, the identity first."""
    frames = []
    for axes, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1.0, -1.0), repeat=3)):
        frame = np.zeros((3, 3))
        frame[range(3), axes] = signs
        if np.linalg.det(frame) > 0:
            frames.append(frame)
    return sorted(frames, key=lambda frame: -float(np.trace(frame)))


def likely_starts(around: Surroundings, level: TemplateLevel) -> list[Fit]:
    """A start for each axis orientation and pitch, the likeliest first.

    Every place is tried at 15 mm by correlation: the squared difference to a template that is moved about is a sum of
    three correlations.
    """
    transforms = np.stack([fft.rfftn(part) for part in _cells(around)])
    found = []
    for supposed in _suppositions():
        misfit = fft.irfftn((supposed.spectra * transforms).sum(axis=0), s=(_CELLS,) * 3)
        best = int(misfit.argmin())
        moved = np.array(np.unravel_index(best, misfit.shape))[::-1]
        cell = (moved + _MIDDLE) % _CELLS
        place_mm = around.origin_mm + (cell * _BLOCK + (_BLOCK - 1) / 2) * SAMPLING_MM
        start = start_at(place_mm, supposed.pitch_deg, level, supposed.frame)
        found.append((float(misfit.ravel()[best]), start))
    return [start for _, start in sorted(found, key=lambda pair: pair[0])]


def contested(recorded: Fit, likely: Sequence[Fit], target: Target, level: TemplateLevel, each: Refine) -> Contest:
    """The recorded orientation against the others: a few likely ones refined a little and, if that is narrow, all.

    Args:
        recorded: the refined fit in the recorded orientation.
        likely: starts in all orientations, the likeliest first.
        target: the patient.
        level: the template at the target's voxel size.
        each: applies a refinement to every fit.
    """
    others = [start for start in likely if not is_recorded(start)]
    coarsely, finely = (level, FIRST_ITERATIONS), (level, LAST_ITERATIONS)
    likeliest: dict[bytes, Fit] = {}
    for start in others:
        likeliest.setdefault(start.frame.tobytes(), start)
    rival = _best_of(list(likeliest.values())[:PROMISING], coarsely, finely, target, each)
    first = Contest(recorded, rival)
    if first.margin >= NARROW_MARGIN:
        return first
    rivals = [rival, _best_of(others, (level.thinned(THINNED), THINNED_ITERATIONS), finely, target, each)]
    # A search that went astray is not held against the record, unless it ends beside the scan.
    fits = each(lambda fit: refined(fit, target, level, LONG_ITERATIONS), [fit for fit in likely if is_recorded(fit)])
    within = [fit for fit in fits if fit.scanned_share >= AS_SCANNED * recorded.scanned_share]
    return Contest(min([recorded, *within], key=unexplained), min(rivals, key=unexplained))


def is_recorded(fit: Fit) -> bool:
    """Whether a fit supposes the recorded orientation."""
    return bool(np.trace(fit.frame) > 2.5)


def unexplained(fit: Fit) -> float:
    """What a fit leaves unexplained, by which orientations are compared: its cost, but for the head's size."""
    return fit.cost - fit.size_cost


def _best_of(
    starts: Sequence[Fit],
    first: tuple[TemplateLevel, int],
    last: tuple[TemplateLevel, int],
    target: Target,
    each: Refine,
) -> Fit:
    """The best fit, all refined over a level in a number of steps, then the few best of them."""
    begun = each(lambda fit: refined(fit, target, *first), starts)
    kept = sorted(begun, key=unexplained)[:KEPT]
    return min(each(lambda fit: refined(fit, target, *last), kept), key=unexplained)


def _cells(around: Surroundings) -> tuple[Volume, Volume, Volume]:
    """Extent of the scan, HU and squared HU in it, in cells of 15 mm; beyond the surroundings nothing is scanned."""
    room = [(0, _CELLS * _BLOCK - length) for length in around.scanned.shape]
    scanned = block_mean(np.pad(around.scanned, room), (_BLOCK,) * 3)
    value = block_mean(np.pad(around.window_hu, room, constant_values=WINDOW_HU[0]), (_BLOCK,) * 3)
    seen_hu = scanned * value
    return scanned, seen_hu, seen_hu * value + (1 - scanned) * np.float32(_SCREEN_UNSCANNED_HU**2)


@lru_cache(maxsize=1)
def _suppositions() -> tuple[_Supposed, ...]:
    """The template in every axis orientation and pitch, the middle of its brain in the middle cell."""
    level = template_levels()[-1]
    about = level.points_mm - level.brain_middle_mm
    made = []
    for frame, pitch_deg in itertools.product(axis_frames(), START_PITCHES_DEG):
        cell = np.rint(about @ (frame @ pitched(pitch_deg)).T / (_BLOCK * SAMPLING_MM)).astype(int) + _MIDDLE
        flat = np.ravel_multi_index(tuple((cell % _CELLS).T[::-1]), (_CELLS,) * 3)
        sums = [
            np.bincount(flat, weights, minlength=_CELLS**3).reshape((_CELLS,) * 3).astype(np.float32)
            for weights in (level.values_hu**2, -2 * level.values_hu, None)
        ]
        made.append(_Supposed(frame, pitch_deg, np.stack([np.conj(fft.rfftn(part)) for part in sums])))
    return tuple(made)
