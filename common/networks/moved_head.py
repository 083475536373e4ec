"""The head moved by a voxel in radiographs, and moved back in the volume: several looks at one pair of radiographs.

A network answers a little differently wherever the head lies on its grid; the mean of such answers errs less.
"""

from __future__ import annotations

from itertools import product
from typing import Final, final

import torch
from torch import Tensor
from torch.nn import functional

from common.geometry import Geometry, Grid

Move = tuple[int, int, int]
STAYING: Final = (0, 0, 0)
_INSIDE: Final = 0.99
_ALL: Final[tuple[Move, ...]] = tuple((z, y, x) for z, y, x in product((-1, 0, 1), repeat=3))
# Voxels along z, y, x, by how many looks there are.
MOVES: Final[dict[int, tuple[Move, ...]]] = {
    1: (STAYING,),
    7: tuple(move for move in _ALL if sum(map(abs, move)) <= 1),
    27: _ALL,
}


@final
class MovedHead:
    """Moves heads in radiographs of one geometry, by the magnification of its centre.

    A move along the rays changes a radiograph by some tenths of a pixel at its edge alone and is left out.

    Args:
        grid, geometry: the study's.
        looks: 1, 7 (a voxel along each axis) or 27 (along all of them at once too).
    """

    def __init__(self, grid: Grid, geometry: Geometry, looks: int) -> None:
        self.moves = MOVES[looks]
        at_detector_mm = grid.voxel_mm * geometry.source_detector_mm / geometry.source_patient_mm
        self._pixels = at_detector_mm / geometry.pixel_mm

    def radiographs(self, radiographs: Tensor, move: Move) -> Tensor:
        """What would be measured of the head moved by so many voxels.

        Args:
            radiographs: (B, 2 or 4, rows, columns), both views, then their masks if they have any; rows from superior
                to inferior, columns of the frontal one from right to left, of the lateral one from front to back.
            move: voxels towards superior, posterior and left.
        """
        if move == STAYING:
            return radiographs
        up, back, left = (self._pixels * voxels for voxels in move)
        alongs = (left, back) * (radiographs.shape[1] // 2)
        views = [_shifted(radiographs[:, view : view + 1], -up, along) for view, along in enumerate(alongs)]
        # Between pixels a mask is what lies wholly inside it.
        return torch.cat([*views[:2], *((mask > _INSIDE).to(mask) for mask in views[2:])], dim=1)


def moved_back(volume: Tensor, move: Move) -> Tensor:
    """(B, channels, z, y, x) with the head where it was; what came in from beyond the grid repeats its edge."""
    for axis, voxels in enumerate(move, start=2):
        size = volume.shape[axis]
        places = (torch.arange(size, device=volume.device) + voxels).clamp(0, size - 1)
        volume = volume.index_select(axis, places)
    return volume


def _shifted(images: Tensor, down: float, right: float) -> Tensor:
    """(B, 1, rows, columns) with its content so many pixels further, bicubic; beyond the edge it repeats."""
    rows, columns = images.shape[2:]
    turn = images.new_tensor([[1.0, 0.0, -2 * right / columns], [0.0, 1.0, -2 * down / rows]])
    places = functional.affine_grid(turn.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, places, mode="bicubic", padding_mode="border", align_corners=False)
