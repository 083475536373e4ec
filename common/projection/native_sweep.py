"""The compiled plane sweep behind :mod:`common.projection.native`: both views of a native-resolution CT in one pass.

Work is cut into bands of detector rows, one call a band, so that threads share nothing but the volume they read. For
every row of voxels of a band's window the sweep converts the voxels once, mixes neighbouring slices for each detector
row, and carries the mixed row into both images. Detector rows are the vector's lanes, so that nothing is gathered.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from common.projection.interpolation import TAPS
from common.projection.lanes import (
    CACHE_LINE_BYTES,
    LANE_BYTES,
    LANES,
    add_run,
    any_above,
    blend_four,
    blend_taps,
    prefetch,
)

GROUPS = 2
BAND_ROWS = GROUPS * LANES
BAND_BYTES = 4 * BAND_ROWS
_ROWS_AHEAD = 4


def _magnification(view: Any, plane: Any) -> Any:
    return (plane - view.source_along) / (view.reference - view.source_along)


def _height(view: Any, row: Any, plane: Any) -> Any:
    """Where a detector row's rays meet a plane, in slices."""
    start = view.first_row + row * view.row_step - view.source_height
    return view.source_height + start * _magnification(view, plane)


def _window(view: Any, row: Any, planes: Any) -> Any:
    """Lowest and highest height that a band of detector rows meets in any plane."""
    corners = (
        _height(view, row, 0),
        _height(view, row, planes - 1),
        _height(view, row + BAND_ROWS - 1, 0),
        _height(view, row + BAND_ROWS - 1, planes - 1),
    )
    return min(corners), max(corners)


def _keys(distance: Any) -> Any:
    """Cubic convolution, as in :mod:`common.projection.interpolation`, at a distance from a sample."""
    d = abs(distance)
    if d >= 2.0:
        return 0.0
    if d >= 1.0:
        return ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return (1.5 * d - 2.5) * d * d + 1.0


def _lateral_tables(view: Any, row: Any, first_slice: Any, rows: Any, offsets: Any, weights: Any, pitch: Any) -> None:
    """Fill the weights between slices for a band of the lateral view, whose planes lie along the voxel row.

    ``offsets`` is (group, chunk, lane), ``weights`` (group, chunk, lane, tap, voxel); ``rows`` counts the window's rows
    with its guards, the first of which is slice ``first_slice``.
    """
    groups, chunks, _, taps, _ = weights.shape
    for group in range(groups):
        for chunk in range(chunks):
            for lane in range(LANES):
                detector_row = row + group * LANES + lane
                one, other = _height(view, detector_row, chunk * LANES), _height(view, detector_row, (chunk + 1) * LANES - 1)
                start = min(max(int(math.floor(min(one, other))) - 1 - first_slice, 0), rows - taps)
                offsets[group, chunk, lane] = start * pitch
                for voxel in range(LANES):
                    height = _height(view, detector_row, chunk * LANES + voxel)
                    for tap in range(taps):
                        weights[group, chunk, lane, tap, voxel] = _keys(height - (first_slice + start + tap))


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


def _load_rows(volume: Any, y: Any, first: Any, spans: Any, air: Any, buffer: Any, guard: Any, filled: Any) -> Any:
    """Attenuation above air of the voxel rows (first .., y), zero outside their spans; returns the widest extent.

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
            value = air if value < air else value
            target[x] = np.float32(value) - np.float32(air)
        if high > low:
            low_of_all, high_of_all = min(low_of_all, low), max(high_of_all, high)
    return low_of_all, high_of_all


def _frontal_row(view: Any, row: Any, y: Any, window: Any, extent: Any, buffer: Any, mixed: Any, image: Any) -> None:
    """Carry one row of voxels into a band of the frontal image; its plane is ``y``.

    ``window`` is (first slice of the buffer, rows of the buffer), ``extent`` the voxels that are not air.
    """
    first_slice, rows = window
    low, high = extent
    pitch = buffer.strides[0]
    offsets, weights = np.zeros(LANES, np.int64), np.zeros((LANES, TAPS), np.float32)
    for group in range(GROUPS):
        for lane in range(LANES):
            height = _height(view, row + group * LANES + lane, y)
            lowest = int(math.floor(height)) - 1
            inside = 0 <= lowest - first_slice <= rows - TAPS
            offsets[lane] = (lowest - first_slice) * pitch if inside else 0
            for tap in range(TAPS):
                weights[lane, tap] = _keys(height - (lowest + tap)) if inside else 0.0
        for chunk in range(low // LANES, (high + LANES - 1) // LANES):
            blend_four(
                mixed.ctypes.data + chunk * LANES * BAND_BYTES + group * LANE_BYTES,
                BAND_BYTES,
                buffer.ctypes.data + chunk * LANE_BYTES,
                pitch,
                offsets.ctypes.data,
                weights.ctypes.data,
            )
    scale = _magnification(view, y)
    step = scale * view.column_step
    start = view.source_across + (view.first_column - view.source_across) * scale
    first_column = max(0, int(math.ceil((low - 2 - start) / step)))
    last_column = min(image.shape[0], int(math.floor((high + 1 - start) / step)) + 1)
    for column in range(first_column, last_column):
        place = start + step * column
        left = int(math.floor(place)) - 1
        begin, end = max(low, left), min(high, left + TAPS)
        if end > begin:
            source = mixed.ctypes.data + begin * BAND_BYTES
            target = image.ctypes.data + column * BAND_BYTES
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
    first_column, last_column = _columns_near(view, y, extent, image.shape[0])
    for column in range(first_column, last_column):
        across = view.first_column + column * view.column_step - view.source_across
        slope = across / (view.reference - view.source_along)
        begin, end = low, high
        if abs(slope) > 1e-12:
            one = (y - 2 - view.source_across) / slope + view.source_along
            other = (y + 2 - view.source_across) / slope + view.source_along
            begin = max(low, int(math.ceil(min(one, other))))
            end = min(high, int(math.floor(max(one, other))) + 1)
        if end > begin:
            source = mixed.ctypes.data + begin * BAND_BYTES
            target = image.ctypes.data + column * BAND_BYTES
            distance = view.source_across + slope * (begin - view.source_along) - y
            add_run(target, source, GROUPS, end - begin, np.float32(distance), np.float32(slope))


def _columns_near(view: Any, y: Any, extent: Any, columns: Any) -> Any:
    """Detector columns whose rays come within two voxels of row ``y`` somewhere inside the extent."""
    low, high = float(columns), 0.0
    for plane in (extent[0], extent[1] - 1):
        scale = _magnification(view, plane)
        for side in (-2, 2):
            across = (y + side - view.source_across) / scale + view.source_across
            column = (across - view.first_column) / view.column_step
            low, high = min(low, column), max(high, column)
    return max(0, int(math.floor(low))), min(columns, int(math.ceil(high)) + 1)


def _sweep_band(
    volume: Any, spans: Any, air: Any, frontal: Any, lateral: Any, row: Any, frontal_image: Any, lateral_image: Any
) -> None:
    """Add a band of detector rows, ``row .. row + BAND_ROWS``, of both views.

    Args:
        volume: (z, y, x) HU, int16 or float32, C-contiguous.
        spans: (z, y, 2) int16, the voxels of each row that count, first and one past the last.
        air: HU of air in the volume's type; lower values are air too.
        frontal: the frontal view; its planes are y.
        lateral: the lateral view; its planes are x.
        row: first detector row of the band.
        frontal_image: (columns, BAND_ROWS) float32, C-contiguous, added to: HU above air summed over planes.
        lateral_image: as ``frontal_image``.
    """
    slices, rows, columns = volume.shape
    frontal_low, frontal_high = _window(frontal, row, rows)
    lateral_low, lateral_high = _window(lateral, row, columns)
    first = max(0, int(math.floor(min(frontal_low, lateral_low))) - 1)
    last = min(slices - 1, int(math.floor(max(frontal_high, lateral_high))) + 2)
    if last < first:
        return
    chunks = (columns + LANES - 1) // LANES
    reach = abs(lateral.reference - lateral.source_along)
    ends = lateral.first_row + row * lateral.row_step, lateral.first_row + (row + BAND_ROWS - 1) * lateral.row_step
    steepest = max(abs(ends[0] - lateral.source_height), abs(ends[1] - lateral.source_height)) / reach
    taps = int(math.floor(steepest * (LANES - 1))) + 1 + TAPS
    guard = taps + 1
    count = last - first + 1
    buffer = np.zeros((count + 2 * guard, chunks * LANES), np.float32)
    mixed = np.zeros((chunks * LANES, BAND_ROWS), np.float32)
    filled = np.zeros((count, 2), np.int64)
    offsets = np.zeros((GROUPS, chunks, LANES), np.int64)
    weights = np.zeros((GROUPS, chunks, LANES, taps, LANES), np.float32)
    window = (first - guard, count + 2 * guard)
    _lateral_tables(lateral, row, window[0], window[1], offsets, weights, buffer.strides[0])
    for y in range(rows):
        low, high = _load_rows(volume, y, first, spans, air, buffer, guard, filled)
        if high > low:
            _frontal_row(frontal, row, y, window, (low, high), buffer, mixed, frontal_image)
            _lateral_row(lateral, y, (low, high), (offsets, weights), buffer, mixed, lateral_image)


_compile = njit(nogil=True, error_model="numpy")
_magnification = _compile(_magnification)
_height = _compile(_height)
_window = _compile(_window)
_keys = _compile(_keys)
_lateral_tables = _compile(_lateral_tables)
tissue_spans = _compile(_tissue_spans)
_load_rows = _compile(_load_rows)
_frontal_row = _compile(_frontal_row)
_columns_near = _compile(_columns_near)
_lateral_row = _compile(_lateral_row)
sweep_band = _compile(_sweep_band)
