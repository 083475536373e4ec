"""A flat couch, as in planning for radiotherapy: a slab that stays where it is from slice to slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_COUCH_MM = 210.0
# Of the width of a narrow image, of the slices, and of the bone that may lie beyond the couch's top.
_WIDTH_SHARE, _SLICES_SHARE, _BONE_SHARE = 0.9, 0.85, 0.02
_THINNEST_MM = 4.0

Mask = NDArray[np.bool_]


def flat_couch(tissue: Mask, hu: NDArray[np.float32], bone_hu: float, pixel_mm: float) -> Mask:
    """The couch and what lies beyond its top, seen from the head; empty where there is none.

    A row or column of the image that is tissue over more than a head's width, or from edge to edge, in nearly all
    slices is none of a head. A head that the field of view cuts on both sides is so in some slices only.

    Args:
        tissue: (slice, row, column), without thin parts.
        hu: the same, values.
        bone_hu: what is denser is bone.
        pixel_mm: edge of a pixel.
    """
    couch = np.zeros_like(tissue)
    for across in (2, 1):
        least = min(LEAST_COUCH_MM / pixel_mm, _WIDTH_SHARE * tissue.shape[across])
        wide = np.count_nonzero(tissue, axis=across) >= least
        lines = np.flatnonzero(wide.mean(axis=0) >= _SLICES_SHARE)
        if (lines.size - 1) * pixel_mm < _THINNEST_MM:
            continue
        ahead, behind = np.s_[: lines[0]], np.s_[lines[-1] + 1 :]
        on_line = (hu > bone_hu).sum(axis=(0, across))
        faces_ahead = int(on_line[ahead].sum()) >= int(on_line[behind].sum())
        beyond = np.s_[lines[0] :] if faces_ahead else np.s_[: lines[-1] + 1]
        if on_line[beyond].sum() <= _BONE_SHARE * on_line.sum():
            place: tuple[slice, ...] = (np.s_[:], beyond, np.s_[:]) if across == 2 else (np.s_[:], np.s_[:], beyond)
            couch[place] = True
    return couch
