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
_BLOCK = 5
_CELLS = 21
_MIDDLE = _CELLS // 2
_SCREEN_UNSCANNED_HU = 200.0

Refine = Callable[[Callable[[Fit], Fit], Sequence[Fit]], list[Fit]]


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
    """One start for each axis orientation, the recorded one first, then the likeliest.

    Every place and three pitches are tried at 15 mm by correlation: the squared difference to a template that is moved
    about is a sum of three correlations.
    """
    scanned, seen_hu, seen_squared = _cells(around)
    transforms = np.stack([fft.rfftn(part) for part in (scanned, seen_hu, seen_squared)])
    found: dict[bytes, tuple[float, Fit]] = {}
    for supposed in _suppositions():
        misfit = fft.irfftn((supposed.spectra * transforms).sum(axis=0), s=(_CELLS,) * 3)
        best = int(misfit.argmin())
        cost, known = float(misfit.ravel()[best]), found.get(supposed.frame.tobytes())
        if known is None or cost < known[0]:
            moved = np.array(np.unravel_index(best, misfit.shape))[::-1]
            cell = (moved + _MIDDLE) % _CELLS
            place = around.origin_mm + (cell * _BLOCK + (_BLOCK - 1) / 2) * SAMPLING_MM
            found[supposed.frame.tobytes()] = cost, start_at(place, supposed.pitch_deg, level, supposed.frame)
    recorded = found.pop(np.eye(3).tobytes())
    return [recorded[1], *(fit for _, fit in sorted(found.values(), key=lambda pair: pair[0]))]


def best_rival(others: Sequence[Fit], target: Target, level: TemplateLevel, each: Refine) -> Fit:
    """The best fit among orientations other than the recorded one, each refined a little, the worst left early.

    Args:
        others: starts, the likeliest first.
        target: the patient.
        level: the template at the target's voxel size.
        each: applies a refinement to every fit.
    """
    begun = each(lambda fit: refined(fit, target, level, FIRST_ITERATIONS), others[:PROMISING])
    kept = sorted(begun, key=unexplained)[:KEPT]
    return min(each(lambda fit: refined(fit, target, level, LAST_ITERATIONS), kept), key=unexplained)


def unexplained(fit: Fit) -> float:
    """What a fit leaves unexplained, by which orientations are compared: its cost, but for the head's size."""
    return fit.cost - fit.size_cost


def margin(recorded: Fit, rival: Fit) -> float:
    """By which share more the best other orientation leaves unexplained; below 0 it explains the head better."""
    return unexplained(rival) / unexplained(recorded) - 1.0


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
