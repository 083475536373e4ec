"""The geometry in the terms that peers ask for: detector frames, rays in voxels, blocks of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.projection.scene import Scene, view_rays
from common.geometry import Geometry, Pose

# About the fastest of 2^17 to 2^24 on two cores for each peer that marches in torch. Backward every block costs the
# volume's gradient once more: there a block has no fewer samples than the volume has voxels.
SAMPLES_PER_BLOCK = 1 << 21


@final
@dataclass(frozen=True)
class Frame:
    """One view as a camera: vectors (3,) in LPS (x, y, z), mm or unit length.

    Attributes:
        source_mm: the focal spot.
        centre_mm: the detector's centre.
        right: unit vector along which columns grow.
        down: unit vector along which rows grow.
        forward: unit vector from the focal spot to the detector, square to it.
    """

    source_mm: NDArray[np.float64]
    centre_mm: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    forward: NDArray[np.float64]


def frames(geometry: Geometry) -> tuple[Frame, Frame]:
    """The frontal and the lateral frame.

    Raises:
        NotImplementedError: a pose differs from the standard one.
    """
    refuse_poses(geometry)
    found = []
    for rays in view_rays(geometry):
        corners = rays.pixels_mm[[0, 0, -1, -1], [0, -1, 0, -1]]
        centre = corners.mean(axis=0)
        right = _unit(corners[1] - corners[0])
        down = _unit(corners[2] - corners[0])
        normal = np.cross(right, down)
        forward = normal * np.sign((centre - rays.source_mm) @ normal)
        found.append(Frame(rays.source_mm, centre, right, down, forward))
    return found[0], found[1]


def refuse_poses(geometry: Geometry) -> None:
    """Peers are compared in the standard pose only.

    Raises:
        NotImplementedError: a pose differs from the standard one.
    """
    if geometry.frontal_pose != Pose() or geometry.lateral_pose != Pose():
        raise NotImplementedError("peers are compared in the standard pose only")


def rays_mm(scene: Scene) -> tuple[Tensor, Tensor]:
    """Sources (2, 1, 3) and pixel centres (2, rows, columns, 3), LPS (x, y, z) in mm, float32."""
    views = view_rays(scene.geometry)
    source = torch.stack([torch.from_numpy(view.source_mm) for view in views])[:, None]
    return source.float(), torch.stack([torch.from_numpy(view.pixels_mm) for view in views]).float()


def centre_voxel(scene: Scene) -> NDArray[np.float64]:
    """(3,) index along (x, y, z) of the isocentre; voxel centres are whole numbers."""
    return (np.array(scene.mu_per_mm.shape[::-1]) - 1) / 2


def spacing_xyz(scene: Scene) -> NDArray[np.float64]:
    """(3,) voxel edges along (x, y, z), mm."""
    return np.array(scene.spacing_mm[::-1])


def row_blocks(rows: int, samples_per_row: int, samples: int) -> Iterator[slice]:
    """Slices of rows that hold about ``samples`` samples each, of one size where the rows divide."""
    wanted = min(rows, max(1, round(rows * samples_per_row / samples)))
    blocks = next((count for count in range(wanted, min(2 * wanted, rows) + 1) if rows % count == 0), wanted)
    step = math.ceil(rows / blocks)
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)
