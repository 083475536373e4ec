"""What the values of a series are like before anything is made of them: its air, its brightest, what was never scanned.

And whether some wrapped around: metal beyond the bits that are stored comes out as bone, as brain, or as a hole far
below air. Three signs of it are looked for, which no scanner's own image shows: a plateau of one value in an image that
is noisy, a hole below padding inside the body, and falls by the whole range to pixels that bright ones enclose, where
nothing is cut off at the top.
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
# Metal's own edge, and bone or tooth around it: how near it lies, and how wide metal is at most.
_RIM_HU, _RIM_MM, _WIDEST_MM = 1200.0, 8.0, 16.0
# Noise makes few blocks of 2 by 4 equal pixels, and as many of one value as of the next; a plateau, many of one alone.
_LEAST_FLATS, _MOST_FLATS_SHARE, _NOISY_SHARE = 12, 0.05, 0.005
_LEAST_RATIO = 5
# Of images so fine every second row suffices.
_FINE_ROWS = 512
# Greatest HU of 12 bits: signed or not, with an offset of 1024 or none. A series that exceeds the last has more bits.
_TOPS_HU = (1023.0, 2047.0, 3071.0)
_RANGE_HU = 4096.0
_NEAR_TOP_HU, _NEAR_ENDS_HU, _BELOW_TOP_HU, _LEAST_RIM_HU = 400.0, 900.0, 1200.0, 200.0
_LEAST_PIXELS, _MOST_PIXELS = 4, 200
# What falls lower is no air. Of what is, sharp kernels make a few such pixels of cells in dense bone, fine ones more.
_LOWEST_AIR_HU = -1100.0
_LEAST_FALLS_MM2 = 8.0
# Where so many pixels share the highest value, and so few come near it, values were cut off there.
_LEAST_CUT, _BELOW_CUT_HU, _CUT_SHARE = 4, 32.0, 0.5


@final
class ValueSurvey:
    """Takes the slices of a series one after the other, as stored and as rescaled.

    Args:
        pixel_mm: edge of a pixel.
    """

    def __init__(self, pixel_mm: float) -> None:
        self._beside = max(2, round(_RIM_MM / pixel_mm))
        self._reach = max(2, round(_WIDEST_MM / pixel_mm))
        self._least_falls = max(_LEAST_PIXELS, round(_LEAST_FALLS_MM2 / pixel_mm**2))
        self._ranges: list[tuple[float, float]] = []
        self._peak_hu = PADDING_HU
        self._is_cut_off = False
        self._below: int | None = None
        self._never: Mask | None = None
        self._hole_share = 0.0
        self._falls = 0
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
        falls = 0.0 if self._is_cut_off else self._falls / self._least_falls
        below = max(self._hole_share, falls) if self._peak_hu <= _TOPS_HU[-1] else 0.0
        return max(self._plateau_share(), below)

    def _note_holes(self, hu: Plane, low: Mask) -> None:
        peak, below = float(hu.max()), int(np.count_nonzero(low))
        if peak >= self._peak_hu:
            self._is_cut_off = (self._is_cut_off and peak == self._peak_hu) or _is_cut_off(hu, peak)
            self._peak_hu = peak
        if self._below is not None and below - self._below >= _LEAST_PIXELS and _is_in_body(hu, low):
            self._hole_share = 1.0
        self._below = below
        top = next((top for top in _TOPS_HU if top - _NEAR_TOP_HU <= peak <= top), None)
        if top is not None and int(np.count_nonzero(hu <= _bottom(top))) > below:
            falls = _falls(hu, top, self._reach)
            if _bottom(top) < _LOWEST_AIR_HU:
                self._hole_share = max(self._hole_share, falls / _LEAST_PIXELS)
            else:
                self._falls += falls

    def _note_flats(self, stored: NDArray[Any], hu: Plane, padding: Mask | None) -> None:
        step = 2 if len(hu) >= _FINE_ROWS else 1
        upper, lower, values = stored[:-1:step], stored[1::step], hu[:-1:step]
        pairs = upper == lower
        same = pairs[:, 1:] & pairs[:, :-1] & (upper[:, 1:] == upper[:, :-1])
        body = values > _BODY_HU
        self._body_pixels += int(np.count_nonzero(body))
        flat = same[:, 2:] & same[:, 1:-1] & same[:, :-2] & body[:, :-3]
        if padding is not None:
            flat &= ~padding[:-1:step, :-3]
        rows, columns = np.nonzero(flat)
        self._flat_blocks += len(rows)
        if not 0 < len(rows) <= _MOST_FLATS_SHARE * body.size:
            return
        # A table may be of one value, but nothing as bright as metal's rim lies beside it.
        bright = np.cumsum(np.pad(values > _RIM_HU, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
        before, after = np.maximum(columns - self._beside, 0), np.minimum(columns + self._beside + 1, hu.shape[1])
        near = bright[rows, after] > bright[rows, before]
        levels, counts = np.unique(values[rows[near], columns[near]], return_counts=True)
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


def _is_cut_off(hu: Plane, peak: float) -> bool:
    """Whether values were cut off at the highest: what wraps around comes near it as often as it reaches it."""
    highest = int(np.count_nonzero(hu == peak))
    if highest < _LEAST_CUT:
        return False
    return highest >= _CUT_SHARE * (int(np.count_nonzero(hu >= peak - _BELOW_CUT_HU)) - highest)


def _falls(hu: Plane, top_hu: float, reach: int) -> int:
    """Pixels that fall to the bottom of the range beside one next to its top, with bright ones on all four sides."""
    bright_rows = np.flatnonzero((hu >= top_hu - _NEAR_ENDS_HU).any(axis=1))
    if not bright_rows.size:
        return 0
    hu = hu[max(int(bright_rows[0]) - reach, 0) : int(bright_rows[-1]) + reach + 1]
    bright, dark = hu >= top_hu - _NEAR_ENDS_HU, hu <= _bottom(top_hu)
    rows, columns = np.nonzero(dark & ndimage.binary_dilation(bright))
    rim = hu >= max(min(_RIM_HU, top_hu - _BELOW_TOP_HU), _LEAST_RIM_HU)
    enclosed = 0
    for row, column in zip(rows[:_MOST_PIXELS].tolist(), columns[:_MOST_PIXELS].tolist(), strict=True):
        beside = rim[row, max(column - reach, 0) : column], rim[row, column + 1 : column + 1 + reach]
        along = rim[max(row - reach, 0) : row, column], rim[row + 1 : row + 1 + reach, column]
        enclosed += all(bool(side.any()) for side in (*beside, *along))
    return enclosed
