"""The compiled back-projection: the exact transpose of :mod:`common.projection.compiled.sweep`, some voxel rows a call.

Threads take ranges of y and share nothing but the images they read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.projection.compiled.lanes import LANE_BYTES, LANES
from common.projection.compiled.lanes_back import spread_run, unblend_four, unblend_taps
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


def _frontal_row(view: Any, row: Any, y: Any, window: Any, voxels: Any, image: Any, mixed: Any, buffer: Any) -> None:
    """Carry a band of the frontal image into one row of voxels of every slice of the window; its plane is ``y``."""
    mixed[:] = 0
    first, last, start, step = frontal_columns(view, y, 0, voxels, image.shape[0])
    for column in range(first, last):
        place = start + step * column
        begin, end = frontal_run(place, 0, voxels)
        if end > begin:
            target = mixed.ctypes.data + begin * BAND_BYTES
            source = image.ctypes.data + column * BAND_BYTES
            spread_run(target, source, GROUPS, end - begin, np.float32(begin - place), np.float32(1))
    offsets, weights = np.zeros(LANES, np.int64), np.zeros((LANES, TAPS), np.float32)
    for group in range(GROUPS):
        frontal_weights(view, row + group * LANES, y, window, buffer.strides[0], offsets, weights)
        for chunk in range(buffer.shape[1] // LANES):
            unblend_four(
                buffer.ctypes.data + chunk * LANE_BYTES,
                buffer.strides[0],
                offsets.ctypes.data,
                weights.ctypes.data,
                mixed.ctypes.data + chunk * LANES * BAND_BYTES + group * LANE_BYTES,
                BAND_BYTES,
            )


def _lateral_row(view: Any, y: Any, voxels: Any, tables: Any, image: Any, mixed: Any, buffer: Any) -> None:
    """Carry a band of the lateral image into one row of voxels; its planes are the voxels of the row."""
    mixed[:] = 0
    first, last = lateral_columns(view, y, 0, voxels, image.shape[0])
    for column in range(first, last):
        begin, end, distance, slope = lateral_run(view, column, y, 0, voxels)
        if end > begin:
            target = mixed.ctypes.data + begin * BAND_BYTES
            source = image.ctypes.data + column * BAND_BYTES
            spread_run(target, source, GROUPS, end - begin, distance, slope)
    offsets, weights = tables
    chunks, taps = weights.shape[1], weights.shape[3]
    for group in range(GROUPS):
        for chunk in range(chunks):
            place = group * chunks + chunk
            unblend_taps(
                buffer.ctypes.data + chunk * LANE_BYTES,
                buffer.strides[0],
                offsets.ctypes.data + place * LANES * 8,
                weights.ctypes.data + place * LANES * taps * LANE_BYTES,
                taps,
                mixed.ctypes.data + chunk * LANES * BAND_BYTES + group * LANE_BYTES,
                BAND_BYTES,
            )


def _smear_rows(
    frontal: Any, lateral: Any, frontal_image: Any, lateral_image: Any, first_y: Any, last_y: Any, volume: Any
) -> None:
    """Add both images to the voxel rows first_y .. last_y of every slice.

    Args:
        frontal: the frontal view; its planes are y.
        lateral: the lateral view; its planes are x.
        frontal_image: (bands, columns, BAND_ROWS) float32, C-contiguous, zero beyond the last row.
        lateral_image: as ``frontal_image``, with as many bands.
        first_y: the first row.
        last_y: one past the last row.
        volume: (z, y, x) float32, added to.
    """
    voxels = volume.shape[2]
    chunks = (voxels + LANES - 1) // LANES
    mixed = np.zeros((chunks * LANES, BAND_ROWS), np.float32)
    for band in range(frontal_image.shape[0]):
        row = band * BAND_ROWS
        first, count, taps = band_plan(frontal, lateral, row, volume.shape)
        if count < 1:
            continue
        guard = taps + 1
        buffer = np.zeros((count + 2 * guard, chunks * LANES), np.float32)
        offsets = np.zeros((GROUPS, chunks, LANES), np.int64)
        weights = np.zeros((GROUPS, chunks, LANES, taps, LANES), np.float32)
        window = (first - guard, count + 2 * guard)
        lateral_tables(lateral, row, window[0], window[1], offsets, weights, buffer.strides[0])
        for y in range(first_y, last_y):
            buffer[:] = 0
            _frontal_row(frontal, row, y, window, voxels, frontal_image[band], mixed, buffer)
            _lateral_row(lateral, y, voxels, (offsets, weights), lateral_image[band], mixed, buffer)
            for z in range(count):
                source, target = buffer[guard + z], volume[first + z, y]
                for x in range(voxels):
                    target[x] += source[x]


_frontal_row = compiled(_frontal_row)
_lateral_row = compiled(_lateral_row)
smear_rows = compiled(_smear_rows)
