"""The detector's pixels read off a lattice of rays by cubic interpolation, with the exact transpose."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from common.geometry import FloatArray
from common.projection.interpolation import keys_weights
from common.projection.ray_module import FullPrecision


@final
class Readout(FullPrecision):
    """A linear map from images on the lattice to images on the detector.

    Args:
        row: (rows, columns), each pixel's fractional lattice row.
        column: (rows, columns), its fractional lattice column.
        lattice_shape: rows and columns of the lattice; neighbours beyond it are the outermost rays.
    """

    def __init__(self, row: FloatArray, column: FloatArray, lattice_shape: tuple[int, int]) -> None:
        super().__init__()
        self._detector_shape = row.shape
        self._lattice_shape = lattice_shape
        at_row, row_weights = _neighbours(row, lattice_shape[0])
        at_column, column_weights = _neighbours(column, lattice_shape[1])
        index = at_row[..., :, None] * lattice_shape[1] + at_column[..., None, :]
        weights = row_weights[..., :, None] * column_weights[..., None, :]
        self.register_buffer("index", torch.from_numpy(index).reshape(-1, 16), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weights).reshape(-1, 16).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, lattice rows, lattice columns) to (B, rows, columns)."""
        weights = self.get_buffer("weights")
        around = images.flatten(1)[:, self.get_buffer("index").flatten()].view(len(images), *weights.shape)
        read: Tensor = torch.linalg.vecdot(around, weights)
        return read.view(-1, *self._detector_shape)

    def transposed(self, images: Tensor) -> Tensor:
        """(B, rows, columns) to (B, lattice rows, lattice columns)."""
        spread = (images.flatten(1)[..., None] * self.get_buffer("weights")).flatten(1)
        lattice = images.new_zeros(len(images), self._lattice_shape[0] * self._lattice_shape[1])
        return lattice.index_add_(1, self.get_buffer("index").flatten(), spread).view(-1, *self._lattice_shape)


def _neighbours(place: FloatArray, cells: int) -> tuple[np.ndarray, FloatArray]:
    """(..., 4) indices and weights of the four cells around each place."""
    below = np.floor(place)
    index = np.clip(below[..., None].astype(np.int64) + np.arange(-1, 3), 0, cells - 1)
    return index, keys_weights(place - below)
