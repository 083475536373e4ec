"""How far slices lie from where they were scanned, told by their images: steps between neighbours and shear over all.

Neighbouring slices show nearly the same outline and bone, so that a shift of one against the next shows as a flow of
the images (Lucas and Kanade, Proc IJCAI 1981, one translation a slice). Anatomy drifts from slice to slice too, but
smoothly; a step is what leaves the median of its neighbours. Shear cannot be told from neighbours alone, since faces
and occiputs lean as well: it comes from the alignment, in which the template says how much of it is anatomy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.case.alignment import Alignment
from client.case.decoding import SliceStack, Volume

LEAST_RECORDED_STEP_MM = 1.0
SUSPICIOUS_STEP_MM = (2.5, 1.5)
_REFINEMENTS = 3
_TREND_SLICES = 5
# Below the skull base faces and necks differ from slice to slice by themselves; recorded steps are held against them.
_BRAIN_MM, _HEAD_MM = 110.0, 150.0
_LEAST_AREA_MM2 = 4000.0
_WINDOW_HU = (-200.0, 400.0)
_ROBUST_HU = 100.0
_TISSUE_HU = -300.0

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class StackGeometry:
    """How far the slices of a head lie from where their images say that they were scanned.

    Attributes:
        shear_deg: lean of the stack to the back for each height, as the angle of a gantry that nothing undid.
        slant_deg: the same to the left.
        step_mm: greatest shift of a slice against its neighbour that the trend of the images does not explain, along
            rows and then along columns.
        recorded_step_mm: greatest shift that the positions record and their trend does not explain.
        unseen_share: share of the recorded steps that the images do not show, from 0 to 1; 0 where none is over 1 mm.
    """

    shear_deg: float
    slant_deg: float
    step_mm: tuple[float, float]
    recorded_step_mm: float
    unseen_share: float


def stack_geometry(coarse: SliceStack, alignment: Alignment) -> StackGeometry:
    """Steps between neighbouring slices of a head, and its shear as the alignment found it.

    Args:
        coarse: the head with air around it, in voxels of about 3 mm.
        alignment: of the same head.
    """
    slant, shear = (math.degrees(math.atan(slope)) for slope in alignment.shear)
    axes = np.stack([step / np.linalg.norm(step) for step in (coarse.row_mm, coarse.column_mm)])
    recorded = np.diff(coarse.origins_mm, axis=0) @ axes.T
    heights_mm = np.diff(coarse.positions_mm)[:, None]
    recorded_steps = recorded - np.median(recorded / heights_mm, axis=0) * heights_mm
    recorded_step_mm = float(np.linalg.norm(recorded_steps, axis=1).max())
    brain, head = _pairs(coarse, _BRAIN_MM), _pairs(coarse, _HEAD_MM)
    steps = _steps(_shifts(coarse, refined=False) + recorded, heights_mm)
    suspicious = bool((np.abs(steps * brain) > SUSPICIOUS_STEP_MM).any())
    if suspicious or recorded_step_mm > LEAST_RECORDED_STEP_MM:
        steps = _steps(_shifts(coarse, refined=True) + recorded, heights_mm)
    back, left = np.abs(steps * brain).max(axis=0)
    told, unseen = recorded_steps * head, 0.0
    if recorded_step_mm > LEAST_RECORDED_STEP_MM:
        unseen = float((steps * told).sum() / max(float((told**2).sum()), 1e-9))
    return StackGeometry(shear, slant, (float(back), float(left)), recorded_step_mm, min(max(unseen, 0.0), 1.0))


def _pairs(coarse: SliceStack, below_top_mm: float) -> NDArray[np.bool_]:
    """(slice - 1, 1), whether both slices of a pair lie in the body's upper part and show enough of it."""
    pixel_mm2 = float(np.linalg.norm(coarse.row_mm) * np.linalg.norm(coarse.column_mm))
    enough = np.count_nonzero(coarse.hu > _TISSUE_HU, axis=(1, 2)) * pixel_mm2 > _LEAST_AREA_MM2
    heights = coarse.origins_mm[:, 2]
    if enough.any():
        enough &= heights > heights[enough].max() - below_top_mm
    pairs: NDArray[np.bool_] = (enough[1:] & enough[:-1])[:, None]
    return pairs


def _steps(shifts: Array, heights_mm: Array) -> Array:
    """What leaves the trend of slices around, which is one of height: (slice - 1, 2) mm."""
    slopes = shifts / heights_mm
    trend = ndimage.median_filter(slopes, size=(_TREND_SLICES, 1), mode="nearest")
    steps: Array = (slopes - trend) * heights_mm
    return steps


def _shifts(coarse: SliceStack, *, refined: bool) -> Array:
    """Translation of what each slice shows against the slice below, along rows and then columns: (slice - 1, 2) mm."""
    pixel_mm = np.array([np.linalg.norm(coarse.row_mm), np.linalg.norm(coarse.column_mm)])
    planes = _smooth(coarse.hu)
    shifts = _flow(planes[:-1], planes[1:], pixel_mm)
    for _ in range(_REFINEMENTS if refined else 0):
        halves = shifts / 2 / pixel_mm
        below = np.stack([_moved(plane, half) for plane, half in zip(planes[:-1], halves, strict=True)])
        above = np.stack([_moved(plane, -half) for plane, half in zip(planes[1:], halves, strict=True)])
        shifts = shifts + _flow(below, above, pixel_mm)
    return shifts


def _moved(plane: Volume, pixels: Array) -> Volume:
    moved: Volume = ndimage.shift(plane, pixels, order=1, mode="nearest")
    return moved


def _smooth(hu: Volume) -> Volume:
    """The slices where there is tissue, clipped and blurred by a pixel in the plane."""
    rows, columns = (np.flatnonzero((hu > _TISSUE_HU).any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if rows.size and columns.size:
        top, left = max(rows[0] - 4, 0), max(columns[0] - 4, 0)
        hu = hu[:, top : rows[-1] + 5, left : columns[-1] + 5]
    planes = np.pad(np.clip(hu, *_WINDOW_HU), ((0, 0), (1, 1), (1, 1)), mode="edge")
    planes = planes[:, :-2] + 2 * planes[:, 1:-1] + planes[:, 2:]
    smooth: Volume = (planes[:, :, :-2] + 2 * planes[:, :, 1:-1] + planes[:, :, 2:]) / np.float32(16)
    return smooth


def _flow(below: Volume, above: Volume, pixel_mm: Array) -> Array:
    """One step of least squares for the translations from slices to those above, (pair, 2) mm."""
    mean, change = (below + above) / 2, (above - below)[:, 1:-1, 1:-1]
    down = (mean[:, 2:, 1:-1] - mean[:, :-2, 1:-1]) / np.float32(2 * pixel_mm[0])
    across = (mean[:, 1:-1, 2:] - mean[:, 1:-1, :-2]) / np.float32(2 * pixel_mm[1])
    # Huber: what one slice shows and the other does not pulls no harder than this.
    weight = np.float32(_ROBUST_HU) / np.maximum(np.abs(change), np.float32(_ROBUST_HU))
    weighted = down * weight, across * weight
    pairs = ((0, down), (1, across), (0, across), (0, change), (1, change))
    sums = [np.einsum("ijk,ijk->i", weighted[which], other).astype(np.float64) for which, other in pairs]
    down2, across2, mixed, down_change, across_change = sums
    # A trace of damping: slices of air alone move nowhere.
    down2, across2 = down2 + 1.0, across2 + 1.0
    determinant = down2 * across2 - mixed**2
    moved_down = -(down_change * across2 - across_change * mixed) / determinant
    moved_across = -(across_change * down2 - down_change * mixed) / determinant
    shifts: Array = np.stack([moved_down, moved_across], axis=1)
    return shifts
