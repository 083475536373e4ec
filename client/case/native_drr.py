"""The DRR pair of a CT from its slices as scanned, without resampling them first."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.case.decoding import AIR_HU, SliceStack, Vectors, Volume
from client.case.volume import Pose
from common.geometry import Geometry, Grid
from common.projection import Placement, native_projection
from common.study import RadiographSettings

_EVEN_MM = 0.05
_MOST_GROWTH = 2


def native_drr_pair(
    stack: SliceStack, pose: Pose, grid: Grid, geometry: Geometry, settings: RadiographSettings, *, threads: int = 1
) -> NDArray[np.float32]:
    """Noise-free line integrals of attenuation through the slices as they were scanned.

    The volume ends at the faces of the grid's box, so that the radiographs show what the canonical volume can hold.

    Args:
        stack: the slices, with air outside the body.
        pose: where the canonical grid lies among them.
        grid: the study's grid; its box alone matters.
        geometry: source, detector and views.
        settings: attenuation of water.
        threads: bands of detector rows computed at a time.

    Returns:
        (2, rows, columns), dimensionless; frontal, lateral.

    Raises:
        Refusal: as :func:`common.projection.native_projection`.
    """
    volume, placement = placed(evenly_spaced(stack), pose)
    volume, placement = _cropped(volume, placement, grid)
    # HU that were stored as whole numbers stay exact in int16, at half the memory; others are off by 0.3 HU at random.
    whole = np.empty(volume.shape, dtype=np.int16)
    for source, target in zip(volume, whole, strict=True):
        np.rint(source, out=target, casting="unsafe")
    cut_to_box(whole, placement, grid)
    return native_projection(whole, placement, geometry, settings.water_mu_per_mm, threads=threads)


def evenly_spaced(stack: SliceStack) -> SliceStack:
    """The stack with every slice one and the same step from the one before; itself if it is so within 0.05 mm.

    Slices are interpolated linearly, from half a step before the first to half a step beyond the last, at the finest
    step that occurs or so that they become twice as many if that is coarser. Where the gantry's shear varies as well,
    they are then shifted in their plane, again linearly.
    """
    if _off_line_mm(stack.origins_mm).max() <= _EVEN_MM:
        return stack
    known = stack.positions_mm
    steps = np.diff(known)
    length = float(steps.sum() + (steps[0] + steps[-1]) / 2)
    count = min(round(length / float(steps.min())), _MOST_GROWTH * len(known))
    positions = known[0] - steps[0] / 2 + (np.arange(count) + 0.5) * length / count
    lower = np.clip(np.searchsorted(known, positions) - 1, 0, len(known) - 2)
    share = (positions - known[lower]) / steps[lower]
    origins = stack.origins_mm[lower] + share[:, None] * (stack.origins_mm[lower + 1] - stack.origins_mm[lower])
    hu = np.empty((count, *stack.hu.shape[1:]), dtype=np.float32)
    for target, index, upper in zip(hu, lower, share.clip(0, 1).astype(np.float32), strict=True):
        np.multiply(stack.hu[index], 1 - upper, out=target)
        target += stack.hu[index + 1] * upper
    return _straightened(replace(stack, hu=hu, origins_mm=origins))


def placed(stack: SliceStack, pose: Pose) -> tuple[Volume, Placement]:
    """An evenly spaced stack as a volume in the canonical frame.

    Returns:
        A view of its HU, (z, y, x), the axes nearest to superior, posterior and left in either direction; and where its
        voxels lie in canonical coordinates.
    """
    origins = stack.origins_mm
    step = (origins[-1] - origins[0]) / (len(origins) - 1)
    steps = np.stack([step, stack.row_mm, stack.column_mm]) @ pose.rotation
    near = np.abs(steps / np.linalg.norm(steps, axis=1)[:, None])[:, ::-1]
    order = max(permutations(range(3)), key=lambda axes: float(near[axes, range(3)].sum()))
    return stack.hu.transpose(order), Placement((origins[0] - pose.centre_mm) @ pose.rotation, steps[list(order)])


def cut_to_box(volume_hu: NDArray[np.int16], placement: Placement, grid: Grid) -> None:
    """Make air of what lies outside the grid's box, in place.

    Voxels across a face keep the share of their attenuation that lies inside. Slices that meet a face at an angle would
    otherwise end in steps, which radiographs show as stripes.

    Args:
        volume_hu: (z, y, x).
        placement: where its voxels lie; the box is centred on the origin.
        grid: the box.
    """
    width_mm = np.abs(placement.steps_mm).max(axis=0)
    reach_mm = np.array(grid.extent_mm[::-1]) / 2 + width_mm / 2
    along_z, along_y, along_x = placement.steps_mm
    for index, plane in enumerate(volume_hu):
        tissue = [np.flatnonzero(plane.max(axis=axis) > AIR_HU) for axis in (1, 0)]
        if not tissue[0].size:
            continue
        (top, bottom), (left, right) = ((int(held[0]), int(held[-1]) + 1) for held in tissue)
        rows, columns = np.arange(top, bottom)[:, None], np.arange(left, right)
        part = plane[top:bottom, left:right]
        for axis in range(3):
            start = placement.first_mm[axis] + index * along_z[axis]
            along = start + rows * along_y[axis] + columns * along_x[axis]
            inside = ((reach_mm[axis] - np.abs(along)) / width_mm[axis]).astype(np.float32)
            if inside.min() < 1:
                kept = (part - np.float32(AIR_HU)) * inside.clip(0, 1) + np.float32(AIR_HU)
                part[:] = np.rint(kept)


def _on_line(origins_mm: Vectors) -> Vectors:
    return np.asarray(np.linspace(origins_mm[0], origins_mm[-1], len(origins_mm)), dtype=np.float64)


def _off_line_mm(origins_mm: Vectors) -> Vectors:
    """(slice,), how far each lies from where even steps from the first to the last would put it."""
    return np.asarray(np.linalg.norm(origins_mm - _on_line(origins_mm), axis=1), dtype=np.float64)


def _straightened(stack: SliceStack) -> SliceStack:
    """Slices at even positions moved in their plane, in place, until their origins are on a line."""
    line = _on_line(stack.origins_mm)
    for index in np.flatnonzero(_off_line_mm(stack.origins_mm) > _EVEN_MM):
        off = stack.origins_mm[index] - line[index]
        pixels = [float(off @ step / (step @ step)) for step in (stack.row_mm, stack.column_mm)]
        stack.hu[index] = ndimage.shift(stack.hu[index], pixels, order=1, cval=AIR_HU)
    return replace(stack, origins_mm=line)


def _cropped(volume: Volume, placement: Placement, grid: Grid) -> tuple[Volume, Placement]:
    """The block of voxels around the grid's box, at least two along each axis."""
    half_mm = np.array(grid.extent_mm[::-1]) / 2
    corners = placement.indices(np.array(list(product(*zip(-half_mm, half_mm, strict=True)))))
    size = np.array(volume.shape)
    first = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, size - 2)
    last = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, first + 2, size)
    z, y, x = (slice(*ends) for ends in zip(first, last, strict=True))
    return volume[z, y, x], Placement(placement.first_mm + first @ placement.steps_mm, placement.steps_mm)
