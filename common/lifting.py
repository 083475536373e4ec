"""Detector features carried back into the volume along the cone-beam rays, by separable bilinear interpolation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, final

import torch
from torch import Tensor, nn

from common.errors import ExitCode, Refusal
from common.geometry import FloatArray, Geometry, Grid


@final
class Lifting(nn.Module):
    """Gives every voxel, per view, the detector's bilinear value at the point where its ray meets the detector.

    Zero outside the detector. No parameters, an empty state, and float32 (or float64) weights whatever the network's
    precision: bf16 coordinates would shift the rays by pixels. Products run in the weights' precision and return it.

    Args:
        grid: the volume's grid; a coarser one for inner levels of a network.
        geometry: source, detector and views; ``detector_shape`` is that of the feature maps.
    """

    def __init__(self, grid: Grid, geometry: Geometry) -> None:
        super().__init__()
        self.grid = grid
        self.geometry = geometry
        for beam in geometry.beams:
            depth_mm = torch.from_numpy(abs(grid.centres_mm(beam.along) - beam.source_mm))
            magnification = geometry.source_detector_mm / depth_mm
            columns = _detector_weights(magnification, grid.centres_mm(beam.across), geometry, 1)
            rows = _detector_weights(magnification, -grid.centres_mm(0), geometry, 0)
            self.register_buffer(f"{beam.name}_columns", columns, persistent=False)
            self.register_buffer(f"{beam.name}_rows", rows, persistent=False)
        self.float()

    def forward(self, features: Tensor) -> Tensor:
        """(B, 2, C, rows, columns) to (B, 2, C, z, y, x).

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if the features are not a pair on the geometry's detector.
        """
        if features.ndim != 5 or features.shape[1] != 2 or tuple(features.shape[3:]) != self.geometry.detector_shape:
            raise Refusal(
                ExitCode.GEOMETRY_INVALID,
                f"features of shape {tuple(features.shape)}",
                where="lifting",
                mend=f"expected (B, 2, C, {self.geometry.detector_shape[0]}, {self.geometry.detector_shape[1]})",
            )
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.get_buffer("frontal_rows"))
            frontal = self._lift(features[:, 0], "frontal").permute(2, 3, 1, 0, 4)
            lateral = self._lift(features[:, 1], "lateral").permute(2, 3, 1, 4, 0)
            return torch.stack([frontal, lateral], dim=1)

    def _lift(self, images: Tensor, view: str) -> Tensor:
        """(B, C, rows, columns) to (plane, z, B, C, voxel across): columns and rows are interpolated one by one."""
        rows, columns = self.get_buffer(f"{view}_rows"), self.get_buffer(f"{view}_columns")
        batch, channels, height, width = images.shape
        planes, across, _ = columns.shape
        flat = images.permute(2, 0, 1, 3).reshape(height * batch * channels, width)
        wide = torch.bmm(flat.expand(planes, -1, -1), columns.transpose(1, 2))
        tall = torch.bmm(rows, wide.view(planes, height, batch * channels * across))
        return tall.view(planes, -1, batch, channels, across)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        moved: Self = super()._apply(lambda tensor: full_precision(fn(tensor), tensor), recurse)  # type: ignore[no-untyped-call]
        return moved


def full_precision(moved: Tensor, original: Tensor) -> Tensor:
    """``moved``, unless it was cast below float32: then ``original`` on its device."""
    return moved if torch.finfo(moved.dtype).bits >= 32 else original.to(moved.device)


def hat_weights(scale: Tensor, points_mm: FloatArray, cells: int, pitch_mm: float) -> Tensor:
    """Linear interpolation at points scaled plane by plane, zero beyond the outer cells' neighbours.

    Args:
        scale: (plane,), factor that carries a point to the plane.
        points_mm: (point,), coordinates from the axis's centre.
        cells: cells along the axis that is interpolated.
        pitch_mm: distance between their centres.

    Returns:
        (plane, point, cell), float64; max(0, 1 - distance in cells).
    """
    index = scale[:, None] * torch.from_numpy(points_mm)[None, :] / pitch_mm + (cells - 1) / 2
    return (1 - (index[:, :, None] - torch.arange(cells)).abs()).clamp(min=0)


def _detector_weights(magnification: Tensor, points_mm: FloatArray, geometry: Geometry, axis: int) -> Tensor:
    return hat_weights(magnification, points_mm, geometry.detector_shape[axis], geometry.pixel_mm)
