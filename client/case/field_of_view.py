"""Whether the reconstructed field of view cuts the head in its slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.case.decoding import AIR_HU, Volume

HEAD_MM = 150.0
LEAST_CONTACT_MM = 12.0

Mask = NDArray[np.bool_]


def cut_share(
    core: Mask, hu: Volume, voxel_mm: tuple[float, float, float], top_first: bool, unscanned: Mask | None = None
) -> float:
    """Share of the slices in the body's upper 150 mm in which it touches the field's edge along 12 mm or more.

    The edge is the image's, or the inscribed circle where everything outside that is air in all slices, or that of a
    smaller circle outside which all slices are padded.

    Args:
        core: (slice, row, column), the body without table and thin parts.
        hu: (slice, row, column), air being -1000.
        voxel_mm: step between slices, rows and columns.
        top_first: whether the first slice is the highest.
        unscanned: (row, column) of the whole image at any resolution, padding in every slice; None where none is.
    """
    held = np.flatnonzero(core.any(axis=(1, 2)))
    top = held[0] if top_first else held[-1]
    reach = round(HEAD_MM / voxel_mm[0])
    head = held[np.abs(held - top) <= reach]
    rim = _rim(hu, voxel_mm[1:], unscanned)
    rim_mm = np.count_nonzero(core[head][:, rim], axis=1) * min(voxel_mm[1:])
    return float((rim_mm >= LEAST_CONTACT_MM).mean())


def _rim(hu: Volume, pixel_mm: tuple[float, float], unscanned: Mask | None) -> Mask:
    """(row, column), the outermost voxels of the field."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in hu.shape[1:])
    from_edge = np.minimum(rows[-1] - np.abs(rows)[:, None], columns[-1] - np.abs(columns))
    radius_mm = np.hypot(rows[:, None] * pixel_mm[0], columns * pixel_mm[1])
    field_mm = min(len(rows) * pixel_mm[0], len(columns) * pixel_mm[1]) / 2
    beyond = radius_mm > field_mm + max(pixel_mm)
    rim: Mask = from_edge < 0.5
    if beyond.any() and bool((hu[:, beyond] == AIR_HU).all()):
        rim = rim | (radius_mm > field_mm - max(pixel_mm))
    if unscanned is not None:
        padded = _coarser(unscanned, radius_mm.shape)
        rim = rim | (ndimage.binary_dilation(padded) & ~padded & (radius_mm < field_mm - 2 * max(pixel_mm)))
    return rim


def _coarser(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Where any pixel of a mask lies in the larger pixels of an image of the same extent."""
    for axis, count in enumerate(shape):
        starts = np.arange(count) * mask.shape[axis] // count
        mask = np.logical_or.reduceat(mask, starts, axis=axis)
    return mask
