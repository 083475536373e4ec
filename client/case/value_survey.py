"""What the values of a series are like before anything is made of them: its air, its brightest, what was never scanned.

And whether some wrapped around: metal beyond the bits that are stored comes out as bone, as brain, or as a hole far
below air. Three signs of it are looked for, which no scanner's own image shows: a plateau of one value in an image that
is noisy, a hole below padding inside the body, and a fall by the whole range to a pixel that bright ones enclose.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

PADDING_HU = -1500.0
# Percentiles of a slice are taken over every fourth pixel of every fourth row.
SAMPLED = 4
# Air is the median of what lies in the lowest quarter of the range of values, since noise may reach far below it.
_AIR_SHARE = 0.25
_CLEAR_HU, _MOST_SIGMA, _NORMAL_MAD = 50.0, 4.0, 1.4826
_BODY_HU, _TISSUE_HU = -900.0, -300.0
_RIM_OF_METAL_HU = 1200.0
# Noise makes few blocks of 2 by 4 equal pixels, and as many of one value as of the next; a plateau, many of one alone.
_LEAST_FLATS, _MOST_FLATS_SHARE, _NOISY_SHARE = 12, 0.05, 0.005
_LEAST_RATIO = 5
_FINE_ROWS = 256
# Greatest HU of 12 bits: signed or not, with an offset of 1024 or none. A series that exceeds the last has more bits.
_TOPS_HU = (1023.0, 2047.0, 3071.0)
_RANGE_HU = 4096.0
_NEAR_TOP_HU, _NEAR_ENDS_HU, _RIM_HU = 400.0, 900.0, 1200.0
_ENCLOSED_MM = 8.0
_LEAST_PIXELS, _MOST_PIXELS = 4, 200


@final
class ValueSurvey:
    """Takes the slices of a series one after the other, as stored and as rescaled.

    Args:
        pixel_mm: edge of a pixel.
    """

    def __init__(self, pixel_mm: float) -> None:
        self._reach = max(2, round(_ENCLOSED_MM / pixel_mm))
        self._ranges: list[tuple[float, float]] = []
        self._peak_hu = PADDING_HU
        self._below: int | None = None
        self._never: Mask | None = None
        self._hole_share = 0.0
        self._flats: Counter[float] = Counter()
        self._flat_blocks = 0
        self._body_pixels = 0

    def take(self, stored: NDArray[Any], hu: Plane, padding: Mask | None) -> tuple[float, float]:
        """Note one slice; the HU of its air and the 99.9th percentile of what is not padding.

        Args:
            stored: (row, column), values as stored.
            hu: the same as rescaled, before anything is clipped.
            padding: what is padding though its HU does not say so, None where nothing is.
        """
        low = hu <= PADDING_HU
        unscanned = low if padding is None else low | padding
        self._note_holes(hu, low)
        if len(self._ranges) % 2 == 0 or len(hu) < _FINE_ROWS:
            self._note_flats(stored, hu, padding)
        self._never = unscanned if self._never is None else self._never & unscanned
        self._ranges.append(_range(hu[::SAMPLED, ::SAMPLED][~unscanned[::SAMPLED, ::SAMPLED]]))
        return self._ranges[-1]

    @property
    def range_hu(self) -> tuple[float, float]:
        """Air and the brightest, each the median over the slices."""
        low, high = np.median(np.array(self._ranges), axis=0)
        return float(low), float(high)

    @property
    def unscanned(self) -> Mask | None:
        """(row, column), padding in every slice; None where there is none."""
        return self._never if self._never is not None and bool(self._never.any()) else None

    @property
    def wrapped_share(self) -> float:
        """How much there is of what values that wrapped around leave: from 1 on they did, 0 where there is no sign."""
        hole = self._hole_share if self._peak_hu <= _TOPS_HU[-1] else 0.0
        return max(self._plateau_share(), hole)

    def _note_holes(self, hu: Plane, low: Mask) -> None:
        peak, below = float(hu.max()), int(np.count_nonzero(low))
        self._peak_hu = max(self._peak_hu, peak)
        if self._below is not None and below - self._below >= _LEAST_PIXELS and _is_in_body(hu, low):
            self._hole_share = 1.0
        self._below = below
        top = next((top for top in _TOPS_HU if top - _NEAR_TOP_HU <= peak <= top), None)
        if top is not None and int(np.count_nonzero(hu <= _bottom(top))) > below:
            self._hole_share = max(self._hole_share, _enclosed_pixels(hu, top, self._reach) / _LEAST_PIXELS)

    def _note_flats(self, stored: NDArray[Any], hu: Plane, padding: Mask | None) -> None:
        step = SAMPLED if len(hu) >= _FINE_ROWS else 2
        upper, lower, values = stored[:-1:step], stored[1::step], hu[:-1:step]
        pairs = upper == lower
        same = pairs[:, 1:] & pairs[:, :-1] & (upper[:, 1:] == upper[:, :-1])
        flat = same[:, 2:] & same[:, 1:-1] & same[:, :-2]
        if padding is not None:
            flat &= ~padding[:-1:step, :-3]
        self._body_pixels += int(np.count_nonzero(values > _BODY_HU))
        # A table may be of one value, but nothing as bright as metal's rim lies beside it.
        near = ndimage.maximum_filter1d((values > _RIM_OF_METAL_HU).view(np.uint8), 2 * self._reach + 1, axis=1)
        self._flat_blocks += int(np.count_nonzero(flat & (values[:, :-3] > _BODY_HU)))
        found = values[:, :-3][flat & near[:, :-3].view(np.bool_)]
        found = found[found > _BODY_HU]
        if found.size:
            levels, counts = np.unique(found, return_counts=True)
            self._flats.update(dict(zip(levels.tolist(), counts.tolist(), strict=True)))

    def _plateau_share(self) -> float:
        """How clearly a part of one value, that is not the brightest, lies in an image that is noisy elsewhere."""
        values = sorted(self._flats)
        counts = np.array([0, *(self._flats[value] for value in values), 0])
        own, beside = counts[1:-1], np.maximum(counts[:-2], counts[2:])
        alone = np.where(np.array(values) < self._peak_hu, own / (_LEAST_FLATS + _LEAST_RATIO * beside), 0.0)
        if not alone.any():
            return 0.0
        # Of several that stand alone the largest decides.
        found = int(np.argmax(np.where(alone >= 1, own, alone)))
        count = int(own[found])
        few, noisy = _MOST_FLATS_SHARE * self._body_pixels, _NOISY_SHARE * self._body_pixels
        return min(float(alone[found]), few / count, noisy / max(self._flat_blocks - count, 1e-9))


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    """The HU of air and the 99.9th percentile; the 1st in place of air where what lies below it is more than noise."""
    if not values.size:
        return -1000.0, -1000.0
    ascending = np.sort(values)
    lowest, highest = (float(ascending[int(share * (ascending.size - 1))]) for share in (0.01, 0.999))
    darkest = ascending[: int(np.searchsorted(ascending, lowest + _AIR_SHARE * (highest - lowest), "right"))]
    air = float(darkest[darkest.size // 2])
    if air - lowest > _CLEAR_HU:
        noise_hu = _NORMAL_MAD * float(np.median(np.abs(darkest - np.float32(air))))
        air = air if air - lowest < _CLEAR_HU + _MOST_SIGMA * noise_hu else lowest
    return air, highest


def _bottom(top_hu: float) -> float:
    """Up to where values lie that fell from the top."""
    return top_hu - _RANGE_HU + _NEAR_ENDS_HU


def _is_in_body(hu: Plane, low: Mask) -> bool:
    """Whether a part of a mask does not reach the border and has tissue around it."""
    labels, count = ndimage.label(low)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        sizes[edge] = 0
    sizes[0] = 0
    inner = (sizes >= _LEAST_PIXELS)[labels]
    around = ndimage.binary_dilation(inner, iterations=2) & ~low
    return bool(around.any()) and float(np.median(hu[around])) > _TISSUE_HU


def _enclosed_pixels(hu: Plane, top_hu: float, reach: int) -> int:
    """How many pixels next to the top of the range fall to its bottom, with bright ones around on all four sides."""
    bright_rows = np.flatnonzero((hu >= top_hu - _NEAR_ENDS_HU).any(axis=1))
    if not bright_rows.size:
        return 0
    hu = hu[max(int(bright_rows[0]) - reach, 0) : int(bright_rows[-1]) + reach + 1]
    bright, dark = hu >= top_hu - _NEAR_ENDS_HU, hu <= _bottom(top_hu)
    if not (bright[:, 1:] & dark[:, :-1]).any() and not (bright[:, :-1] & dark[:, 1:]).any():
        return 0
    rows, columns = np.nonzero(dark & ndimage.binary_dilation(bright))
    rim = hu >= max(top_hu - _RIM_HU, 200.0)
    enclosed = 0
    for row, column in zip(rows[:_MOST_PIXELS].tolist(), columns[:_MOST_PIXELS].tolist(), strict=True):
        beside = rim[row, max(column - reach, 0) : column], rim[row, column + 1 : column + 1 + reach]
        along = rim[max(row - reach, 0) : row, column], rim[row + 1 : row + 1 + reach, column]
        enclosed += all(bool(side.any()) for side in (*beside, *along))
    return enclosed
