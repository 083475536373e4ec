"""Detector pixels read off the lattice of rays that the compiled sweep has summed."""

from __future__ import annotations

import math
from typing import Any

from common.projection.compiled.rays import BAND_ROWS, compiled


def _keys_four(share: Any) -> Any:
    """As :func:`common.projection.interpolation.keys_weights`, for one point."""
    s = share
    return (
        ((-0.5 * s + 1.0) * s - 0.5) * s,
        (1.5 * s - 2.5) * s * s + 1.0,
        ((-1.5 * s + 2.0) * s + 0.5) * s,
        (0.5 * s - 0.5) * s * s,
    )


def _read_images(images: Any, row: Any, column: Any, detector: Any) -> None:
    """Read (cases, lattice rows, lattice columns) at each pixel's fractional place into (cases, rows, columns)."""
    cases, last_row, last_column = images.shape[0], images.shape[1] - 1, images.shape[2] - 1
    for r in range(row.shape[0]):
        for c in range(row.shape[1]):
            below, left = math.floor(row[r, c]), math.floor(column[r, c])
            rows, columns = _keys_four(row[r, c] - below), _keys_four(column[r, c] - left)
            for case in range(cases):
                total = 0.0
                for j in range(4):
                    at = min(max(below - 1 + j, 0), last_row)
                    for i in range(4):
                        total += rows[j] * columns[i] * images[case, at, min(max(left - 1 + i, 0), last_column)]
                detector[case, r, c] = total


def _spread_images(detector: Any, row: Any, column: Any, images: Any) -> None:
    """The transpose of ``read_images``, added to ``images``."""
    cases, last_row, last_column = images.shape[0], images.shape[1] - 1, images.shape[2] - 1
    for r in range(row.shape[0]):
        for c in range(row.shape[1]):
            below, left = math.floor(row[r, c]), math.floor(column[r, c])
            rows, columns = _keys_four(row[r, c] - below), _keys_four(column[r, c] - left)
            for case in range(cases):
                for j in range(4):
                    at = min(max(below - 1 + j, 0), last_row)
                    for i in range(4):
                        share = rows[j] * columns[i] * detector[case, r, c]
                        images[case, at, min(max(left - 1 + i, 0), last_column)] += share


def _lattice_value(sums: Any, row: Any, column: Any) -> Any:
    """The sum at a fractional lattice row and column; ``sums`` is (band, column, row in band)."""
    below, left = math.floor(row + 1e-6), math.floor(column + 1e-6)
    if abs(row - below) < 1e-5 and abs(column - left) < 1e-5:
        return float(sums[below // BAND_ROWS, left, below % BAND_ROWS])
    rows, columns = _keys_four(row - below), _keys_four(column - left)
    last_row, last_column = sums.shape[0] * BAND_ROWS - 1, sums.shape[1] - 1
    total = 0.0
    for j in range(4):
        at = min(max(below - 1 + j, 0), last_row)
        line = 0.0
        for i in range(4):
            line += columns[i] * sums[at // BAND_ROWS, min(max(left - 1 + i, 0), last_column), at % BAND_ROWS]
        total += rows[j] * line
    return total


def _read_rows(
    sums: Any,
    lattice: Any,
    source: Any,
    corner: Any,
    row_step: Any,
    column_step: Any,
    along: Any,
    steps_mm: Any,
    mu_per_hu: Any,
    image: Any,
) -> None:
    """Fill rows of one view with line integrals.

    Args:
        sums: (bands, columns, BAND_ROWS), HU above air summed over planes at each ray of the lattice.
        lattice: the rays that were swept.
        source: (3,), (z, y, x) index of the source.
        corner: (3,), index of the first pixel of ``image``.
        row_step: (3,), index difference from one row to the next.
        column_step: (3,), index difference from one column to the next.
        along: array axis of the planes.
        steps_mm: (3, 3), millimetres of one index step along each array axis.
        mu_per_hu: attenuation per mm of one HU above air.
        image: (rows, columns) float32, written.
    """
    across = 3 - along
    reach = lattice.reference - source[along]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            depth = corner[along] - source[along] + row * row_step[along] + column * column_step[along]
            up = (corner[0] - source[0] + row * row_step[0] + column * column_step[0]) / depth
            aside = (corner[across] - source[across] + row * row_step[across] + column * column_step[across]) / depth
            step = 0.0
            for axis in range(3):
                step += (up * steps_mm[0, axis] + steps_mm[along, axis] + aside * steps_mm[across, axis]) ** 2
            height = (source[0] + up * reach - lattice.first_row) / lattice.row_step
            place = (source[across] + aside * reach - lattice.first_column) / lattice.column_step
            image[row, column] = _lattice_value(sums, height, place) * math.sqrt(step) * mu_per_hu


_keys_four = compiled(_keys_four)
read_images = compiled(_read_images)
spread_images = compiled(_spread_images)
_lattice_value = compiled(_lattice_value)
read_rows = compiled(_read_rows)
