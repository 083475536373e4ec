"""The patient apart from table and headrest, and the cavity of the skull."""

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
OPENINGS_MM = (4.0, 9.0, 18.0)
WIDEST_BODY_MM = 210.0
APPENDAGE_ML = 15.0
SKULL_CLOSING_MM = 10.0
CAVITY_ML = 100.0
_WORKING_MM = 2.4
_CAVITY_BELOW_VERTEX_MM = 74.0
_CAVITY_IN_CUT_HEAD_MM = 25.0

Mask = NDArray[np.bool_]
Point = NDArray[np.float64]
_IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
_EVERY_SIDE = ndimage.generate_binary_structure(3, 1)


@final
@dataclass(frozen=True)
class Body:
    """The patient in a stack.

    Attributes:
        stack: the stack with air everywhere outside the body.
        volume_ml: volume of the body.
        cavity_ml: largest volume that bone surrounds in its slices, closed over gaps of up to 20 mm.
        brain_guesses_mm: LPS points where the middle of the brain may lie, likeliest first.
    """

    stack: SliceStack
    volume_ml: float
    cavity_ml: float
    brain_guesses_mm: tuple[Point, ...]


def find_body(stack: SliceStack) -> Body | None:
    """The patient without table and headrest, with a margin of 3 mm for the skin; None if there is no tissue.

    Tissue is opened in-plane, which takes off thin shells, and the largest part that stays is the body. If the result
    is wider than a head in most slices, a table still hangs on it, and a larger opening is tried. Small parts that
    touch the body, such as ears, are given back.
    """
    factor = _factor(stack)
    coarse = replace(stack, hu=block_mean(stack.hu, (1, factor, factor)))
    pixel_mm = factor * min(stack.voxel_mm[1:])
    core = _core(coarse.hu > TISSUE_HU, pixel_mm, factor * stack.voxel_mm[2])
    if not core.any():
        return None
    voxel_ml = float(np.prod(stack.voxel_mm)) * factor**2 / 1000.0
    solid = core | _appendages(coarse.hu > TISSUE_HU, core, voxel_ml)
    skin = ndimage.binary_dilation(solid, _IN_PLANE, iterations=_pixels(SKIN_MARGIN_MM, pixel_mm))
    coarse.hu[~skin] = AIR_HU
    cavity = _largest(_enclosed(coarse.hu > BONE_HU, pixel_mm))
    cavity_ml = float(cavity.sum()) * voxel_ml
    guesses = _guesses(stack, factor, core, cavity if cavity_ml >= CAVITY_ML else None)
    return Body(_masked(stack, skin, factor), float(core.sum()) * voxel_ml, cavity_ml, guesses)


def _factor(stack: SliceStack) -> int:
    return max(1, round(_WORKING_MM / max(stack.voxel_mm[1:])))


def _masked(stack: SliceStack, skin: Mask, factor: int) -> SliceStack:
    """The stack with air outside a mask given on blocks of pixels."""
    fine = skin.repeat(factor, axis=1).repeat(factor, axis=2)
    hu = np.full_like(stack.hu, AIR_HU)
    rows, columns = fine.shape[1:]
    np.copyto(hu[:, :rows, :columns], stack.hu[:, :rows, :columns], where=fine)
    return replace(stack, hu=hu)


def _core(tissue: Mask, pixel_mm: float, column_mm: float) -> Mask:
    core = np.zeros_like(tissue)
    for opening_mm in OPENINGS_MM:
        core = _largest(ndimage.binary_opening(tissue, _IN_PLANE, iterations=_pixels(opening_mm, pixel_mm)))
        if not _is_wide(core, column_mm):
            break
    return core


def _is_wide(core: Mask, column_mm: float) -> bool:
    """Whether most slices are wider than a head; the shoulders of a scan that reaches the neck are few slices."""
    shadows: Mask = np.asarray(core.any(axis=1))
    widths = [float(np.ptp(np.flatnonzero(line))) for line in shadows if line.any()]
    return bool(widths) and float(np.median(widths)) * column_mm > WIDEST_BODY_MM


def _appendages(tissue: Mask, core: Mask, voxel_ml: float) -> Mask:
    """Small parts of the tissue that touch the core."""
    labels, count = ndimage.label(tissue & ~core)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    near = ndimage.binary_dilation(core, _EVERY_SIDE)
    touching = np.bincount(labels[near], minlength=count + 1) > 0
    wanted = touching & (sizes * voxel_ml <= APPENDAGE_ML)
    wanted[0] = False
    kept: Mask = wanted[labels]
    return kept


def _enclosed(bone: Mask, pixel_mm: float) -> Mask:
    """Voxels that bone surrounds within their slice; narrow canals are worn away."""
    reach = _pixels(SKULL_CLOSING_MM, pixel_mm)
    padded = np.pad(bone, ((0, 0), (reach + 1,) * 2, (reach + 1,) * 2))
    closed = ndimage.binary_closing(padded, _IN_PLANE, iterations=reach)
    labels, _ = ndimage.label(~closed, _IN_PLANE)
    outside = np.unique(np.concatenate([labels[:, 0].ravel(), labels[:, -1].ravel()]))
    inside = ~padded & ~np.isin(labels, outside[outside > 0])
    core = ndimage.binary_opening(inside, _IN_PLANE, iterations=_pixels(5.0, pixel_mm))
    cropped: Mask = core[:, reach + 1 : -(reach + 1), reach + 1 : -(reach + 1)]
    return cropped


def _guesses(stack: SliceStack, factor: int, core: Mask, cavity: Mask | None) -> tuple[Point, ...]:
    """The cavity's middle if there is one, then where the brain lies below a whole and below a cut vertex."""
    above = stack.normal[2] >= 0
    held = np.flatnonzero(core.any(axis=(1, 2)))
    top = int(held[-1] if above else held[0])
    guesses = [] if cavity is None else [_place_mm(stack, ndimage.center_of_mass(cavity), factor)]
    depth_mm = np.abs(stack.positions_mm - stack.positions_mm[top])
    near_top = np.where((depth_mm < 150.0)[:, None, None], core, np.False_)
    middle = _place_mm(stack, ndimage.center_of_mass(near_top), factor)
    top_z = _place_mm(stack, (float(top), *ndimage.center_of_mass(core[top])), factor)[2]
    depths_mm = (_CAVITY_BELOW_VERTEX_MM, _CAVITY_IN_CUT_HEAD_MM)
    return (*guesses, *(np.array([middle[0], middle[1], top_z - depth]) for depth in depths_mm))


def _place_mm(stack: SliceStack, index: tuple[float, ...], factor: int) -> Point:
    """LPS of a fractional (slice, row, column) index into the stack averaged in-plane by a factor."""
    along, row, column = index
    origin = np.array([np.interp(along, np.arange(len(stack.hu)), axis) for axis in stack.origins_mm.T])
    shift = (factor - 1) / 2
    place: Point = origin + (row * factor + shift) * stack.row_mm + (column * factor + shift) * stack.column_mm
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
