"""The compiled plane sweep: both views of a volume in one pass over it, a band of detector rows a call.

Threads take bands and share nothing but the volume they read. For every row of voxels of a band's window the sweep
converts the voxels once, mixes neighbouring slices for each detector row, and carries the mixed row into both images.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.projection.compiled.lanes import (
    CACHE_LINE_BYTES,
    LANE_BYTES,
    LANES,
    add_four,
    add_run,
    any_above,
    blend_four,
    blend_taps,
    prefetch,
)
from common.projection.compiled.rays import (
    BAND_BYTES,
    BAND_ROWS,
    GROUPS,
    band_plan,
    compiled,
    frontal_columns,
    frontal_run,
    frontal_weights,
    lateral_columns,
    lateral_run,
    lateral_tables,
)
from common.projection.interpolation import TAPS

_ROWS_AHEAD = 4


def _tissue_spans(volume: Any, air: Any, first: Any, last: Any, spans: Any) -> None:
    """Narrow the spans of slices first .. last to what is not air, in whole cache lines; NaN is not air."""
    columns = volume.shape[2]
    per_line = CACHE_LINE_BYTES // volume.itemsize
    lines = columns // per_line
    for z in range(first, last):
        for y in range(volume.shape[1]):
            row = volume.ctypes.data + z * volume.strides[0] + y * volume.strides[1]
            low, high = columns, 0
            for x in range(lines * per_line, columns):
                if not volume[z, y, x] <= air:
                    low, high = lines * per_line, columns
            if any_above(row, lines, air):
                left, right = 0, lines
                while not any_above(row + left * CACHE_LINE_BYTES, 1, air):
                    left += 1
                while not any_above(row + (right - 1) * CACHE_LINE_BYTES, 1, air):
                    right -= 1
                low, high = left * per_line, max(high, right * per_line)
            low, high = max(low, spans[z, y, 0]), min(high, spans[z, y, 1])
            spans[z, y, 0], spans[z, y, 1] = low, max(low, high)


def _load_rows(
    volume: Any, y: Any, first: Any, spans: Any, floor: Any, offset: Any, buffer: Any, guard: Any, filled: Any
) -> Any:
    """``max(value, floor) - offset`` of the voxel rows (first .., y), zero outside their spans.

    Returns the first voxel of all spans and one past the last.

    ``filled`` (row, 2) is what earlier calls have left in each row of the buffer.
    """
    low_of_all, high_of_all = volume.shape[2], 0
    ahead = min(y + _ROWS_AHEAD, volume.shape[1] - 1)
    for row in range(filled.shape[0]):
        soon = volume.ctypes.data + (first + row) * volume.strides[0] + ahead * volume.strides[1]
        low, high = spans[first + row, ahead, 0] * volume.itemsize, spans[first + row, ahead, 1] * volume.itemsize
        for line in range(low, high, CACHE_LINE_BYTES):
            prefetch(soon + line)
        low, high = spans[first + row, y, 0], spans[first + row, y, 1]
        target = buffer[guard + row]
        target[filled[row, 0] : min(filled[row, 1], low)] = 0
        target[max(filled[row, 0], high) : filled[row, 1]] = 0
        filled[row, 0], filled[row, 1] = low, high
        source, target = volume[first + row, y, low:high], target[low:high]
        for x in range(source.size):
            value = source[x]
            value = floor if value < floor else value
            target[x] = np.float32(value) - offset
        if high > low:
            low_of_all, high_of_all = min(low_of_all, low), max(high_of_all, high)
    return low_of_all, high_of_all


def _frontal_row(view: Any, row: Any, y: Any, window: Any, extent: Any, buffer: Any, mixed: Any, image: Any) -> None:
    """Carry one row of voxels into a band of the frontal image; its plane is ``y``.

    ``window`` is (slice of the buffer's first row, rows of the buffer), ``extent`` the voxels that are not air.
    """
    low, high = extent
    pitch = buffer.strides[0]
    offsets, weights = np.zeros(LANES, np.int64), np.zeros((LANES, TAPS), np.float32)
    for group in range(GROUPS):
        frontal_weights(view, row + group * LANES, y, window, pitch, offsets, weights)
        for chunk in range(low // LANES, (high + LANES - 1) // LANES):
            blend_four(
                mixed.ctypes.data + chunk * LANES * BAND_BYTES + group * LANE_BYTES,
                BAND_BYTES,
                buffer.ctypes.data + chunk * LANE_BYTES,
                pitch,
                offsets.ctypes.data,
                weights.ctypes.data,
            )
    first, last, start, step = frontal_columns(view, y, low, high, image.shape[0])
    for column in range(first, last):
        place = start + step * column
        begin, end = frontal_run(place, low, high)
        source = mixed.ctypes.data + begin * BAND_BYTES
        target = image.ctypes.data + column * BAND_BYTES
        if end - begin == TAPS:
            add_four(target, source, GROUPS, np.float32(place - begin - 1))
        elif end > begin:
            add_run(target, source, GROUPS, end - begin, np.float32(begin - place), np.float32(1))


def _lateral_row(view: Any, y: Any, extent: Any, tables: Any, buffer: Any, mixed: Any, image: Any) -> None:
    """Carry one row of voxels into a band of the lateral image; its planes are the voxels of the row."""
    offsets, weights = tables
    low, high = extent
    chunks, taps = weights.shape[1], weights.shape[3]
    for group in range(GROUPS):
        for chunk in range(low // LANES, (high + LANES - 1) // LANES):
            place = group * chunks + chunk
            blend_taps(
                mixed.ctypes.data + chunk * LANES * BAND_BYTES + group * LANE_BYTES,
                BAND_BYTES,
                buffer.ctypes.data + chunk * LANE_BYTES,
                buffer.strides[0],
                offsets.ctypes.data + place * LANES * 8,
                weights.ctypes.data + place * LANES * taps * LANE_BYTES,
                taps,
            )
    first, last = lateral_columns(view, y, low, high, image.shape[0])
    for column in range(first, last):
        begin, end, distance, slope = lateral_run(view, column, y, low, high)
        if end > begin:
            source = mixed.ctypes.data + begin * BAND_BYTES
            target = image.ctypes.data + column * BAND_BYTES
            add_run(target, source, GROUPS, end - begin, distance, slope)


def _sweep_band(
    volume: Any,
    spans: Any,
    floor: Any,
    offset: Any,
    frontal: Any,
    lateral: Any,
    row: Any,
    frontal_image: Any,
    lateral_image: Any,
) -> None:
    """Add a band of detector rows, ``row .. row + BAND_ROWS``, of both views.

    Args:
        volume: (z, y, x), int16 or float32, C-contiguous.
        spans: (z, y, 2) int16, the voxels of each row that count, first and one past the last.
        floor: the least value in the volume's type; lower ones are raised to it.
        offset: float32, taken from every value.
        frontal: the frontal view; its planes are y.
        lateral: the lateral view; its planes are x.
        row: first detector row of the band.
        frontal_image: (columns, BAND_ROWS) float32, C-contiguous, added to: values summed over planes.
        lateral_image: as ``frontal_image``.
    """
    first, count, taps = band_plan(frontal, lateral, row, volume.shape)
    if count < 1:
        return
    chunks, guard = (volume.shape[2] + LANES - 1) // LANES, taps + 1
    buffer = np.zeros((count + 2 * guard, chunks * LANES), np.float32)
    mixed = np.zeros((chunks * LANES, BAND_ROWS), np.float32)
    filled = np.zeros((count, 2), np.int64)
    offsets = np.zeros((GROUPS, chunks, LANES), np.int64)
    weights = np.zeros((GROUPS, chunks, LANES, taps, LANES), np.float32)
    window = (first - guard, count + 2 * guard)
    lateral_tables(lateral, row, window[0], window[1], offsets, weights, buffer.strides[0])
    for y in range(volume.shape[1]):
        low, high = _load_rows(volume, y, first, spans, floor, offset, buffer, guard, filled)
        if high > low:
            _frontal_row(frontal, row, y, window, (low, high), buffer, mixed, frontal_image)
            _lateral_row(lateral, y, (low, high), (offsets, weights), buffer, mixed, lateral_image)


tissue_spans = compiled(_tissue_spans)
_load_rows = compiled(_load_rows)
_frontal_row = compiled(_frontal_row)
_lateral_row = compiled(_lateral_row)
sweep_band = compiled(_sweep_band)
