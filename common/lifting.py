"""Detector features carried back into the volume along the cone-beam rays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import ExitCode, Refusal
from common.geometry import Beam, Geometry, Grid, expect_outside


class RayModule(nn.Module):
    """Base of modules whose buffers are ray coordinates: no parameters, an empty state, float32 or float64 only.

    Casting a network to bf16 or half leaves these buffers as they are, because such coordinates are off by pixels.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if source or detector lies inside the volume.
    """

    def __init__(self, grid: Grid, geometry: Geometry) -> None:
        super().__init__()
        expect_outside(geometry, grid)
        self.grid = grid
        self.geometry = geometry

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        moved: Self = super()._apply(lambda tensor: _full_precision(fn(tensor), tensor), recurse)  # type: ignore[no-untyped-call]
        return moved


@final
class Lifting(RayModule):
    """Gives every voxel, per view, the detector's bilinear value at the point where its ray meets the detector.

    Zero outside the detector. It computes and returns its own precision, float32 or after ``.double()`` float64, also
    inside autocast. Coordinates take 16 bytes a voxel.

    Args:
        grid: the volume's grid; a coarser one for inner levels of a network.
        geometry: source, detector and views; ``detector_shape`` is that of the feature maps.
    """

    def __init__(self, grid: Grid, geometry: Geometry) -> None:
        super().__init__(grid, geometry)
        points = torch.stack([_detector_points(grid, geometry, beam) for beam in geometry.beams])
        self.register_buffer("points", points.float(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, 2, C, rows, columns) to (B, 2, C, z, y, x), view 0 frontal, view 1 lateral.

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if the features are not pairs on the geometry's detector.
        """
        rows, columns = self.geometry.detector_shape
        if features.ndim != 5 or features.shape[1] != 2 or tuple(features.shape[3:]) != (rows, columns):
            raise Refusal(
                ExitCode.GEOMETRY_INVALID,
                f"features of shape {tuple(features.shape)}, expected (B, 2, C, {rows}, {columns})",
                where="lifting",
                mend="use the grid and geometry of the study",
            )
        batch, _, channels = features.shape[:3]
        points = self.get_buffer("points")
        with torch.autocast(features.device.type, enabled=False):
            # The batch joins the channels, so that one set of coordinates serves every case.
            images = features.to(points.dtype).transpose(0, 1).reshape(2, batch * channels, rows, columns)
            lifted = functional.grid_sample(images, points, mode="bilinear", padding_mode="zeros", align_corners=False)
        return lifted.view(2, batch, channels, *self.grid.shape).transpose(0, 1)


def _detector_points(grid: Grid, geometry: Geometry, beam: Beam) -> Tensor:
    """Where each voxel's ray meets the detector, (z * y, x, 2): (column, row) from -1 to 1 across the detector."""
    depth_mm = torch.from_numpy(abs(grid.centres_mm(beam.along) - beam.source_mm))
    magnification = geometry.source_detector_mm / depth_mm
    # Axes of the voxels are (z, y, x): the frontal beam runs along y, the lateral along x.
    beside = (1, -1, 1) if beam.along == 1 else (1, 1, -1)
    across = (1, 1, -1) if beam.across == 2 else (1, -1, 1)
    height_mm = torch.from_numpy(grid.centres_mm(0)).view(-1, 1, 1) * magnification.view(beside)
    width_mm = torch.from_numpy(grid.centres_mm(beam.across)).view(across) * magnification.view(beside)
    rows, columns = geometry.detector_shape
    row = -height_mm * (2 / (rows * geometry.pixel_mm))
    column = width_mm * (2 / (columns * geometry.pixel_mm))
    z, y, x = grid.shape
    return torch.stack([column.expand(z, y, x), row.expand(z, y, x)], dim=-1).view(z * y, x, 2)


def _full_precision(moved: Tensor, original: Tensor) -> Tensor:
    return moved if torch.finfo(moved.dtype).bits >= 32 else original.to(moved.device)
