"""The patient apart from table and headrest, and the cavity of the skull."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.case.couch import flat_couch
from client.case.decoding import AIR_HU, SliceStack, Volume, block_mean
from client.case.field_of_view import cut_share

TISSUE_HU = -300.0
BONE_HU = 250.0
SKIN_MARGIN_MM = 3.0
OPENING_MM = 4.0
PARTING_MM = 21.0
CORNER_ML = 150.0
WIDEST_BODY_MM = 210.0
APPENDAGE_ML = 15.0
SKULL_CLOSING_MM = 10.0
CAVITY_ML = 100.0
_WORKING_MM = 3.0
_CAVITY_BELOW_VERTEX_MM = 74.0
_CAVITY_IN_CUT_HEAD_MM = 25.0

Mask = NDArray[np.bool_]
Point = NDArray[np.float64]
Blocks = tuple[int, int, int]
_IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
_EVERY_SIDE = ndimage.generate_binary_structure(3, 1)


@final
@dataclass(frozen=True)
class Body:
    """The patient in a stack.

    Attributes:
        stack: the stack with air everywhere outside the body.
        coarse: the same in voxels of about 3 mm.
        volume_ml: volume of the body.
        cavity_ml: largest volume that bone surrounds in its slices, closed over gaps of up to 20 mm.
        brain_guesses_mm: LPS points where the middle of the brain may lie, likeliest first.
        cut_share: share of the upper 150 mm's slices in which the body is cut by the field of view.
    """

    stack: SliceStack
    coarse: SliceStack
    volume_ml: float
    cavity_ml: float
    brain_guesses_mm: tuple[Point, ...]
    cut_share: float


def find_body(stack: SliceStack) -> Body | None:
    """The patient without table and headrest, with a margin of 3 mm for the skin; None if there is no tissue.

    Tissue is opened in-plane, which takes off thin shells, a flat couch is cut off along its top, and the largest part
    that stays is the body. If that is
    wider than a head in most slices, a table hangs on it: it is eroded until it breaks, and the part with the most bone
    is grown back with its corners. Small parts that touch the body, such as ears, are given back.
    """
    blocks = _blocks(stack)
    hu = block_mean(stack.hu, blocks)
    slice_mm, row_mm, column_mm = (step * size for step, size in zip(stack.voxel_mm, blocks, strict=True))
    pixel_mm = min(row_mm, column_mm)
    voxel_ml = slice_mm * row_mm * column_mm / 1000.0
    core = _core(hu, pixel_mm, column_mm, voxel_ml)
    if not core.any():
        return None
    voxel_mm = slice_mm, row_mm, column_mm
    cut = cut_share(core, hu, voxel_mm, top_first=bool(stack.normal[2] < 0), unscanned=stack.unscanned)
    skin = core | _appendages(hu > TISSUE_HU, core, APPENDAGE_ML / voxel_ml)
    skin = ndimage.binary_dilation(skin, _IN_PLANE, iterations=_pixels(SKIN_MARGIN_MM, pixel_mm))
    hu[~skin] = AIR_HU
    cavity = _largest(_enclosed(hu > BONE_HU, pixel_mm))
    cavity_ml = float(cavity.sum()) * voxel_ml
    guesses = _guesses(stack, blocks, core, cavity if cavity_ml >= CAVITY_ML else None)
    volume_ml = float(core.sum()) * voxel_ml
    return Body(_masked(stack, skin, blocks), _coarse(stack, hu, blocks), volume_ml, cavity_ml, guesses, cut)


def _blocks(stack: SliceStack) -> Blocks:
    """Voxels along (slice, row, column) in one working voxel."""
    along, down, across = (max(1, round(_WORKING_MM / step)) for step in stack.voxel_mm)
    return along, down, across


def _coarse(stack: SliceStack, hu: Volume, blocks: Blocks) -> SliceStack:
    """A stack's place for values given on whole blocks of its voxels."""
    along, down, across = blocks
    origins = stack.origins_mm[: len(hu) * along].reshape(len(hu), along, 3).mean(axis=1)
    origins = origins + stack.row_mm * (down - 1) / 2 + stack.column_mm * (across - 1) / 2
    return replace(stack, hu=hu, origins_mm=origins, row_mm=stack.row_mm * down, column_mm=stack.column_mm * across)


def _masked(stack: SliceStack, skin: Mask, blocks: Blocks) -> SliceStack:
    """The stack with air outside a mask given on blocks of voxels."""
    hu = np.full_like(stack.hu, AIR_HU)
    # What lies beyond the last whole block follows that block.
    plane, row, column = (
        np.minimum(np.arange(length) // size, count - 1)
        for length, size, count in zip(hu.shape, blocks, skin.shape, strict=True)
    )
    for index, block in enumerate(plane):
        np.copyto(hu[index], stack.hu[index], where=skin[block][row][:, column])
    return replace(stack, hu=hu)


def _core(hu: Volume, pixel_mm: float, column_mm: float, voxel_ml: float) -> Mask:
    """The body without its thin parts, freed from a table it lies on."""
    tissue = hu > TISSUE_HU
    thick = ndimage.binary_opening(tissue, _IN_PLANE, iterations=_pixels(OPENING_MM, pixel_mm))
    core = _largest(thick & ~flat_couch(thick, hu, BONE_HU, pixel_mm))
    if _is_wide(core, column_mm):
        part = _boniest_part(core, hu > BONE_HU, _pixels(PARTING_MM, pixel_mm))
        core = part | _appendages(core, part, CORNER_ML / voxel_ml)
    return core


def _boniest_part(tissue: Mask, bone: Mask, reach: int) -> Mask:
    """Of the parts that an erosion leaves, the one with the most bone around it, grown back to where it was eroded."""
    parts, count = ndimage.label(ndimage.binary_erosion(tissue, _IN_PLANE, iterations=reach))
    if count == 0:
        return tissue
    around = ndimage.grey_dilation(parts, size=(1, 2 * reach + 3, 2 * reach + 3))
    boniest = int(np.bincount(around[bone & (around > 0)], minlength=count + 1).argmax())
    grown: Mask = ndimage.binary_dilation(parts == boniest, _IN_PLANE, iterations=reach)
    return grown


def _is_wide(core: Mask, column_mm: float) -> bool:
    """Whether most slices are wider than a head; the shoulders of a scan that reaches the neck are few slices."""
    shadows: Mask = np.asarray(core.any(axis=1))
    widths = [float(np.ptp(np.flatnonzero(line))) for line in shadows if line.any()]
    return bool(widths) and float(np.median(widths)) * column_mm > WIDEST_BODY_MM


def _appendages(tissue: Mask, core: Mask, most_voxels: float) -> Mask:
    """Small parts of the tissue that touch the core."""
    labels, count = ndimage.label(tissue & ~core)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    near = ndimage.binary_dilation(core, _EVERY_SIDE)
    touching = np.bincount(labels[near], minlength=count + 1) > 0
    wanted = touching & (sizes <= most_voxels)
    wanted[0] = False
    kept: Mask = wanted[labels]
    return kept


def _enclosed(bone: Mask, pixel_mm: float) -> Mask:
    """Voxels that bone surrounds within their slice; narrow canals are worn away."""
    reach = _pixels(SKULL_CLOSING_MM, pixel_mm)
    padded = np.pad(bone, ((0, 0), (reach + 1,) * 2, (reach + 1,) * 2))
    closed = ndimage.binary_closing(padded, _IN_PLANE, iterations=reach)
    labels, count = ndimage.label(~closed, _IN_PLANE)
    surrounded = np.ones(count + 1, dtype=bool)
    surrounded[np.unique(labels[:, 0])] = False
    # Label 0 is the closed bone itself: where it was not bone before, it is part of the inside.
    surrounded[0] = True
    inside = surrounded[labels] & ~padded
    core = ndimage.binary_opening(inside, _IN_PLANE, iterations=_pixels(5.0, pixel_mm))
    cropped: Mask = core[:, reach + 1 : -(reach + 1), reach + 1 : -(reach + 1)]
    return cropped


def _guesses(stack: SliceStack, blocks: Blocks, core: Mask, cavity: Mask | None) -> tuple[Point, ...]:
    """The cavity's middle if there is one, then where the brain lies below a whole and below a cut vertex."""
    guesses = [] if cavity is None else [_place_mm(stack, _middle(cavity), blocks)]
    held = np.flatnonzero(core.any(axis=(1, 2)))
    top = int(held[-1] if stack.normal[2] >= 0 else held[0])
    reach = round(150.0 / (stack.voxel_mm[0] * blocks[0]))
    near_top = core[max(top - reach, 0) : top + 1] if stack.normal[2] >= 0 else core[top : top + reach + 1]
    _, down, across = _middle(near_top)
    x, y, z = _place_mm(stack, (float(top), down, across), blocks)
    depths_mm = (_CAVITY_BELOW_VERTEX_MM, _CAVITY_IN_CUT_HEAD_MM)
    return (*guesses, *(np.array([x, y, z - depth]) for depth in depths_mm))


def _middle(mask: Mask) -> tuple[float, float, float]:
    """Mean index along each axis of the voxels in a mask."""
    total = float(mask.sum())
    sums = [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    along, down, across = (float(counts @ np.arange(len(counts))) / total for counts in sums)
    return along, down, across


def _place_mm(stack: SliceStack, index: tuple[float, float, float], blocks: Blocks) -> Point:
    """LPS of a fractional (slice, row, column) index into the stack averaged in blocks."""
    along, row, column = (place * size + (size - 1) / 2 for place, size in zip(index, blocks, strict=True))
    origin = np.array([np.interp(along, np.arange(len(stack.hu)), axis) for axis in stack.origins_mm.T])
    place: Point = origin + row * stack.row_mm + column * stack.column_mm
    return place


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == int(sizes.argmax())
    return largest


def _pixels(length_mm: float, pixel_mm: float) -> int:
    return max(1, round(length_mm / pixel_mm))
