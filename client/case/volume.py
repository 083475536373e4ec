"""The canonical volume: slices resampled once, from their true positions, onto a grid in LPS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from client.case.decoding import AIR_HU, SliceStack, Volume
from common.errors import ExitCode, Refusal
from common.geometry import Grid

FINEST_NEEDED_MM = 2.5
MAXIMUM_FINE_VOXELS = 1 << 27
_VOXELS_AT_ONCE = 1 << 18


@final
@dataclass(frozen=True)
class Pose:
    """Where the canonical grid lies: ``patient = rotation @ canonical + centre_mm``, both LPS (x, y, z) in mm.

    Attributes:
        rotation: (3, 3), orthonormal.
        centre_mm: (3,), patient coordinates of the grid's centre.
    """

    rotation: NDArray[np.float64]
    centre_mm: NDArray[np.float64]


def fine_factor(grid: Grid) -> int:
    """How many fine voxels make an edge of one grid voxel: the least that makes them 2.5 mm or smaller."""
    return max(1, math.ceil(grid.voxel_mm / FINEST_NEEDED_MM - 1e-9))


def fine_grid(grid: Grid) -> Grid:
    """The grid that radiographs are computed on: the same box in voxels of at most 2.5 mm.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if it would have more than 2^27 voxels.
    """
    factor = fine_factor(grid)
    z, y, x = (cells * factor for cells in grid.shape)
    if z * y * x > MAXIMUM_FINE_VOXELS or max(z, y, x) > 1024:
        mend = "shrink grid.shape or grid.voxel_mm"
        raise Refusal(ExitCode.GEOMETRY_INVALID, "the study's volume is too large", where="study.grid", mend=mend)
    return Grid(shape=(z, y, x), voxel_mm=grid.voxel_mm / factor)


def resample(stack: SliceStack, pose: Pose, grid: Grid) -> Volume:
    """HU on a grid, trilinear between neighbouring pixels and slices; air where nothing was scanned.

    A point is placed between the two slices it lies between, at their true positions along the normal. In the plane it
    is measured from an origin that moves linearly from one slice to the next, which undoes the shear of a tilted
    gantry. Half a slice and half a pixel beyond the outermost ones still count as scanned.

    Returns:
        (z, y, x) float32 on ``grid``.
    """
    return resample_with_extent(stack, pose, grid)[0]


def resample_with_extent(stack: SliceStack, pose: Pose, grid: Grid) -> tuple[Volume, NDArray[np.bool_]]:
    """As :func:`resample`, and which voxels of the grid were scanned; in as many threads as PyTorch is set to use."""
    volume: Volume = np.empty(grid.shape, dtype=np.float32)
    scanned = np.empty(grid.shape, dtype=bool)
    z, y, x = (grid.centres_mm(axis) for axis in range(3))
    source = torch.from_numpy(stack.hu)[None, None]
    planes = max(1, _VOXELS_AT_ONCE // (len(y) * len(x)))

    def fill(start: int) -> None:
        part = slice(start, start + planes)
        volume[part], scanned[part] = _sampled(source, _stack_coordinates(stack, pose, (x, y, z[part])))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(fill, range(0, len(z), planes)))
    return volume, scanned


def _sampled(source: torch.Tensor, coordinates: Sequence[Volume]) -> tuple[Volume, NDArray[np.bool_]]:
    """Values at fractional (slice, row, column) indices, and whether they were scanned."""
    points = np.empty((*coordinates[0].shape, 3), dtype=np.float32)
    scanned = np.ones(coordinates[0].shape, dtype=bool)
    for axis, (coordinate, size) in enumerate(zip(coordinates, source.shape[2:], strict=True)):
        scanned &= (coordinate >= -0.5) & (coordinate <= size - 0.5)
        # PyTorch counts axes from the last and runs from -1 to 1 between the outermost centres.
        points[..., 2 - axis] = coordinate * np.float32(2 / max(size - 1, 1)) - np.float32(1)
    found = torch.nn.functional.grid_sample(
        source, torch.from_numpy(points)[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    values: Volume = found[0, 0].numpy()
    values[~scanned] = AIR_HU
    return values, scanned


def _stack_coordinates(stack: SliceStack, pose: Pose, axes_mm: Sequence[NDArray[np.float64]]) -> list[Volume]:
    """Fractional slice, row and column index of every point of a grid with the given x, y, z; (z, y, x) each."""
    normal = stack.normal
    place = _affine(axes_mm, normal @ pose.rotation, float(normal @ pose.centre_mm))
    slices = _fractional_index(place, stack.positions_mm)
    coordinates = [slices]
    for step in (stack.row_mm, stack.column_mm):
        reciprocal = step / (step @ step)
        index = _affine(axes_mm, reciprocal @ pose.rotation, float(reciprocal @ pose.centre_mm))
        start = (stack.origins_mm @ reciprocal).astype(np.float32)
        if np.ptp(start) < 1e-3:
            index -= start.mean()
        else:
            index -= np.interp(slices, np.arange(len(start)), start).astype(np.float32)
        coordinates.append(index)
    return coordinates


def _affine(axes_mm: Sequence[NDArray[np.float64]], weights: NDArray[np.float64], offset: float) -> Volume:
    x, y, z = (axis * weight for axis, weight in zip(axes_mm, weights, strict=True))
    planes: Volume = (y[:, None] + x).astype(np.float32)
    heights: Volume = (z[:, None, None] + offset).astype(np.float32)
    return heights + planes


def _fractional_index(place_mm: Volume, positions_mm: NDArray[np.float64]) -> Volume:
    """Where places lie among ascending positions, in slices; linear beyond both ends."""
    count = len(positions_mm)
    steps = np.diff(positions_mm)
    if np.ptp(steps) < 1e-3:
        place_mm = place_mm - np.float32(positions_mm[0])
        return place_mm / np.float32(steps.mean())
    ends = np.array([positions_mm[0] - 100 * steps[0], positions_mm[-1] + 100 * steps[-1]])
    known = np.concatenate([ends[:1], positions_mm, ends[1:]])
    index = np.concatenate([[-100.0], np.arange(count), [count + 99.0]])
    found: Volume = np.interp(place_mm, known, index).astype(np.float32)
    return found
