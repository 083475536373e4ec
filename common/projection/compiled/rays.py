"""What the compiled sweep and its transpose share: where rays meet planes, and the weights of a band of detector rows.

Work is cut into bands of detector rows, the lanes of a vector, so that nothing is gathered. All places are voxel
indices; views are :class:`common.projection.lattice.Sweep`, the frontal one with planes along y, the lateral one
along x.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from common.projection.compiled.lanes import LANES
from common.projection.interpolation import TAPS

BAND_ROWS = 32
GROUPS = BAND_ROWS // LANES
BAND_BYTES = 4 * BAND_ROWS
compiled = njit(nogil=True, error_model="numpy")


def _magnification(view: Any, plane: Any) -> Any:
    return (plane - view.source_along) / (view.reference - view.source_along)


def _height(view: Any, row: Any, plane: Any) -> Any:
    """Where a detector row's rays meet a plane, in slices."""
    start = view.first_row + row * view.row_step - view.source_height
    return view.source_height + start * magnification(view, plane)


def _extremes(view: Any, row: Any, planes: Any) -> Any:
    """Lowest and highest height that a band of detector rows meets in any plane."""
    last = row + BAND_ROWS - 1
    ends = height(view, row, 0), height(view, row, planes - 1), height(view, last, 0), height(view, last, planes - 1)
    return min(ends), max(ends)


def _band_plan(frontal: Any, lateral: Any, row: Any, shape: Any) -> Any:
    """The slices within reach of a band: the first, how many, and the taps of the lateral weights."""
    slices, rows, columns = shape
    frontal_low, frontal_high = extremes(frontal, row, rows)
    lateral_low, lateral_high = extremes(lateral, row, columns)
    first = max(0, math.floor(min(frontal_low, lateral_low)) - 1)
    last = min(slices - 1, math.floor(max(frontal_high, lateral_high)) + 2)
    ends = lateral.first_row + row * lateral.row_step, lateral.first_row + (row + BAND_ROWS - 1) * lateral.row_step
    steepest = max(abs(ends[0] - lateral.source_height), abs(ends[1] - lateral.source_height))
    slope = steepest / abs(lateral.reference - lateral.source_along)
    return first, last - first + 1, math.floor(slope * (LANES - 1)) + 1 + TAPS


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
                one, other = (
                    height(view, detector_row, chunk * LANES),
                    height(view, detector_row, (chunk + 1) * LANES - 1),
                )
                start = min(max(math.floor(min(one, other)) - 1 - first_slice, 0), rows - taps)
                offsets[group, chunk, lane] = start * pitch
                for voxel in range(LANES):
                    met = height(view, detector_row, chunk * LANES + voxel)
                    for tap in range(taps):
                        weights[group, chunk, lane, tap, voxel] = keys(met - (first_slice + start + tap))


def _frontal_weights(view: Any, row: Any, y: Any, window: Any, pitch: Any, offsets: Any, weights: Any) -> None:
    """Fill the weights between slices for a vector's rows of the frontal view in plane ``y``.

    ``window`` is (slice of the buffer's first row, rows of the buffer), ``offsets`` (lane), ``weights`` (lane, tap).
    """
    first_slice, rows = window
    for lane in range(LANES):
        met = height(view, row + lane, y)
        lowest = math.floor(met) - 1
        inside = 0 <= lowest - first_slice <= rows - TAPS
        offsets[lane] = (lowest - first_slice) * pitch if inside else 0
        for tap in range(TAPS):
            weights[lane, tap] = keys(met - (lowest + tap)) if inside else 0.0


def _frontal_columns(view: Any, y: Any, low: Any, high: Any, columns: Any) -> Any:
    """Detector columns whose rays come within two voxels of low .. high in plane ``y``; place of the first; step."""
    scale = magnification(view, y)
    step = scale * view.column_step
    start = view.source_across + (view.first_column - view.source_across) * scale
    first = max(0, math.ceil((low - 2 - start) / step))
    return first, min(columns, math.floor((high + 1 - start) / step) + 1), start, step


def _frontal_run(place: Any, low: Any, high: Any) -> Any:
    """The voxels within two of a place, cut to low .. high."""
    left = math.floor(place) - 1
    return max(low, left), min(high, left + TAPS)


def _lateral_columns(view: Any, y: Any, low: Any, high: Any, columns: Any) -> Any:
    """Detector columns whose rays come within two voxels of row ``y`` somewhere in low .. high."""
    first, last = float(columns), 0.0
    for plane in (low, high - 1):
        scale = magnification(view, plane)
        for side in (-2, 2):
            across = (y + side - view.source_across) / scale + view.source_across
            column = (across - view.first_column) / view.column_step
            first, last = min(first, column), max(last, column)
    return max(0, math.floor(first)), min(columns, math.ceil(last) + 1)


def _lateral_run(view: Any, column: Any, y: Any, low: Any, high: Any) -> Any:
    """The voxels where a column's ray comes within two of row ``y``, its distance at the first, and its slope."""
    across = view.first_column + column * view.column_step - view.source_across
    slope = across / (view.reference - view.source_along)
    begin, end = low, high
    if abs(slope) > 1e-12:
        one = (y - 2 - view.source_across) / slope + view.source_along
        other = (y + 2 - view.source_across) / slope + view.source_along
        begin = max(low, math.ceil(min(one, other)))
        end = min(high, math.floor(max(one, other)) + 1)
    return begin, end, np.float32(view.source_across + slope * (begin - view.source_along) - y), np.float32(slope)


magnification = compiled(_magnification)
height = compiled(_height)
extremes = compiled(_extremes)
band_plan = compiled(_band_plan)
keys = compiled(_keys)
lateral_tables = compiled(_lateral_tables)
frontal_weights = compiled(_frontal_weights)
frontal_columns = compiled(_frontal_columns)
frontal_run = compiled(_frontal_run)
lateral_columns = compiled(_lateral_columns)
lateral_run = compiled(_lateral_run)
