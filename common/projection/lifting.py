"""Detector features carried back into the volume along the cone-beam rays."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from common.errors import ExitCode, Refusal
from common.geometry import Beam, Geometry, Grid
from common.projection.ray_module import RayModule


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
    x, y, z = (torch.from_numpy(grid.centres_mm(axis)) for axis in (2, 1, 0))
    turn, shift = beam.pose.rotation, beam.pose.translation_mm

    def room_mm(axis: int) -> Tensor:
        a, b, c = (float(weight) for weight in turn[axis])
        return a * x + (b * y)[:, None] + (c * z)[:, None, None] + shift[axis]

    magnification = geometry.source_detector_mm / (room_mm(2 - beam.along) - beam.source_mm).abs()
    rows, columns = geometry.detector_shape
    row = (beam.offset_mm[0] - room_mm(2) * magnification) * (2 / (rows * geometry.pixel_mm))
    column = (room_mm(2 - beam.across) * magnification - beam.offset_mm[1]) * (2 / (columns * geometry.pixel_mm))
    cells = grid.shape
    return torch.stack([column.expand(cells), row.expand(cells)], dim=-1).view(cells[0] * cells[1], cells[2], 2)
