"""The patient apart from table and headrest, and the skull with what it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.archive.decoding import AIR_HU, SliceStack, block_mean

TISSUE_HU = -300.0
BONE_HU = 250.0
SKIN_MARGIN_MM = 3.0
OPENINGS_MM = (4.0, 8.0, 14.0)
WIDEST_BODY_MM = 240.0
APPENDAGE_ML = 15.0
SKULL_CLOSING_MM = 10.0

Mask = NDArray[np.bool_]
_IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]


@final
@dataclass(frozen=True)
class HeadFindings:
    """What the content of a series shows.

    Attributes:
        air_plausible: whether the field of view holds air near -1000 HU and something denser than water.
        cranium_ml: volume enclosed by bone, closed over gaps of up to 20 mm.
        brain_median_hu: median inside that volume; NaN if there is none.
        width_mm, length_mm: size of the body at the cranium, left to right and front to back.
        centre_mm: LPS of the middle of that volume.
    """

    air_plausible: bool
    cranium_ml: float
    brain_median_hu: float
    width_mm: float
    length_mm: float
    centre_mm: NDArray[np.float64]


def body_mask(stack: SliceStack) -> Mask:
    """The patient's body with a margin of 3 mm, without table and headrest, on the stack's voxels.

    Tissue is opened in-plane, which takes off thin shells, and the largest part that stays is the body. If the result
    is wider than a head in most slices, a table still hangs on it, and a larger opening is tried. Small parts that
    touch the body, such as ears, are given back.
    """
    tissue = stack.hu > TISSUE_HU
    core = np.zeros_like(tissue)
    for opening_mm in OPENINGS_MM:
        core = _largest(_opened(tissue, stack, opening_mm))
        if not _is_wide(core, stack):
            break
    solid = core | _appendages(tissue, core, stack)
    return _dilated(solid, stack, SKIN_MARGIN_MM)


def without_surroundings(stack: SliceStack, body: Mask) -> SliceStack:
    """The stack with air everywhere outside the body."""
    return replace(stack, hu=np.where(body, stack.hu, np.float32(AIR_HU)))


def find_head(stack: SliceStack, body: Mask) -> HeadFindings:
    """Skull and brain of a stack whose surroundings were removed.

    The cranium is what a closed skull surrounds in its own slices; small pockets and canals are worn away first.
    """
    plausible = -1150.0 <= stack.raw_low_hu <= -800.0 and stack.raw_high_hu > 100.0
    slice_mm, row_mm, column_mm = stack.voxel_mm
    factor = max(1, round(3.5 / max(row_mm, column_mm)))
    coarse = block_mean(stack.hu, (1, factor, factor))
    pixel_mm = factor * (row_mm + column_mm) / 2
    cavity = _largest(_enclosed(coarse > BONE_HU, pixel_mm) & (coarse <= BONE_HU))
    voxel_ml = slice_mm * (factor * row_mm) * (factor * column_mm) / 1000.0
    cranium_ml = float(cavity.sum()) * voxel_ml
    if not cavity.any():
        return HeadFindings(plausible, 0.0, float("nan"), 0.0, 0.0, stack.origins_mm.mean(axis=0))
    # The widest place of the skull: slices that hold at least half of the largest section.
    sections = cavity.sum(axis=(1, 2))
    outline = body[sections >= sections.max() / 2]
    width, length = (_extent(outline, axis) for axis in (2, 1))
    brain_hu = float(np.median(coarse[cavity]))
    centre = _place_mm(stack, ndimage.center_of_mass(cavity), factor)
    return HeadFindings(plausible, cranium_ml, brain_hu, width * column_mm, length * row_mm, centre)


def _place_mm(stack: SliceStack, index: tuple[float, ...], factor: int) -> NDArray[np.float64]:
    """LPS of a fractional (slice, row, column) index into the stack averaged in-plane by a factor."""
    along, row, column = index
    origin = np.array([np.interp(along, np.arange(len(stack.hu)), axis) for axis in stack.origins_mm.T])
    shift = (factor - 1) / 2
    place: NDArray[np.float64] = origin + (row * factor + shift) * stack.row_mm
    place += (column * factor + shift) * stack.column_mm
    return place


def _enclosed(bone: Mask, pixel_mm: float) -> Mask:
    """Voxels that bone surrounds within their slice, one pixel away from it."""
    reach = max(1, round(SKULL_CLOSING_MM / pixel_mm))
    padded = np.pad(bone, ((0, 0), (reach + 1,) * 2, (reach + 1,) * 2))
    closed = ndimage.binary_closing(padded, _IN_PLANE, iterations=reach)
    labels, _ = ndimage.label(~closed, _IN_PLANE)
    outside = np.unique(np.concatenate([labels[:, 0].ravel(), labels[:, -1].ravel()]))
    inside = ~closed & ~np.isin(labels, outside)
    filled = inside | (closed & ~padded)
    core = ndimage.binary_opening(filled, _IN_PLANE, iterations=2)
    return core[:, reach + 1 : -(reach + 1), reach + 1 : -(reach + 1)]


def _opened(tissue: Mask, stack: SliceStack, radius_mm: float) -> Mask:
    return ndimage.binary_opening(tissue, _IN_PLANE, iterations=_pixels(stack, radius_mm))


def _dilated(mask: Mask, stack: SliceStack, radius_mm: float) -> Mask:
    return ndimage.binary_dilation(mask, _IN_PLANE, iterations=_pixels(stack, radius_mm))


def _pixels(stack: SliceStack, length_mm: float) -> int:
    return max(1, round(length_mm / min(stack.voxel_mm[1:])))


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest


def _appendages(tissue: Mask, core: Mask, stack: SliceStack) -> Mask:
    near = ndimage.binary_dilation(core, ndimage.generate_binary_structure(3, 1))
    labels, count = ndimage.label(tissue & ~core)
    if count == 0:
        return np.zeros_like(core)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    touching = np.bincount(labels[near], minlength=count + 1) > 0
    voxel_ml = float(np.prod(stack.voxel_mm)) / 1000.0
    wanted = touching & (sizes * voxel_ml <= APPENDAGE_ML)
    wanted[0] = False
    kept: Mask = wanted[labels]
    return kept


def _is_wide(core: Mask, stack: SliceStack) -> bool:
    """Whether most slices are wider than a head; the shoulders of a scan that reaches the neck are few slices."""
    widths = [float(np.ptp(np.flatnonzero(plane.any(axis=0)))) for plane in core if plane.any()]
    return bool(widths) and float(np.median(widths)) * stack.voxel_mm[2] > WIDEST_BODY_MM


def _extent(mask: Mask, axis: int) -> float:
    """Median over slices of the extent along an axis, in voxels."""
    along = mask.any(axis=3 - axis)
    return float(np.median([np.ptp(np.flatnonzero(line)) + 1 if line.any() else 0 for line in along]))
