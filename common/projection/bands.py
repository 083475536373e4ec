"""The separable plane sweep of one beam as banded matrix products.

A detector that is parallel to the volume's planes sees each plane magnified as a whole, and magnification is separable in
rows and columns. The sum over planes of bilinearly magnified planes, times the path between planes, is Joseph's method
(IEEE Trans Med Imaging 1:192, 1982). Two products do it: one magnifies every plane along the columns, the other magnifies
along the rows and sums the planes. A pixel sees few voxels of a plane, so the detector is cut into tiles, and each tile
multiplies only the voxels within its reach. The adjoint is the transpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from common.geometry import Beam, FloatArray, Geometry, Grid, no_ray_crosses
from common.projection.beam import BeamProjector

COLUMN_TILE_PIXELS = 32
ROW_TILE_PIXELS = 64


@final
@dataclass(frozen=True)
class _Tile:
    """Neighbouring detector rows or columns, the voxels within their reach, and the buffer that holds the weights."""

    pixels: slice
    voxels: slice
    buffer: str


@final
class BandedBeam(BeamProjector):
    """One view of a patient who is not turned.

    Weights take about ``4 * (columns * x * y + rows * z * planes)`` bytes a view, less the reach that tiles save.

    Args:
        grid: the volume's grid, centred on the isocentre.
        geometry: source, detector and views; the beam's pose may shift the patient but not turn it.
        beam: the view.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if source or detector lies inside the volume, or no ray crosses it.
    """

    def __init__(self, grid: Grid, geometry: Geometry, beam: Beam) -> None:
        super().__init__(grid, geometry)
        self.beam = beam
        self._column_tiles = self._cut(column_weights(grid, geometry, beam), COLUMN_TILE_PIXELS, "columns")
        self._row_tiles = self._cut(row_weights(grid, geometry, beam), ROW_TILE_PIXELS, "rows")
        if not (self._column_tiles and self._row_tiles):
            raise no_ray_crosses(beam)
        self.register_buffer("step_mm", ray_step_mm(grid, geometry, beam).float(), persistent=False)

    def project(self, volumes: Tensor) -> Tensor:
        return torch.stack([self._projected(self._planes(volume)) for volume in volumes]) * self.get_buffer("step_mm")

    def smear(self, images: Tensor) -> Tensor:
        return torch.stack([self._smeared(image) for image in images * self.get_buffer("step_mm")])

    def _projected(self, planes: Tensor) -> Tensor:
        """(plane, z, across) to (rows, columns), without the ray's step."""
        image = planes.new_zeros(self.geometry.detector_shape)
        for rows in self._row_tiles:
            for columns in self._column_tiles:
                # The last stride stays one: batched products on other views can be thirty times slower.
                carried = torch.bmm(planes[:, rows.voxels, columns.voxels], self.get_buffer(columns.buffer))
                weights = self.get_buffer(rows.buffer)
                image[rows.pixels, columns.pixels] = weights @ carried.view(weights.shape[1], -1)
        return image

    def _smeared(self, image: Tensor) -> Tensor:
        """(rows, columns) to (z, y, x)."""
        z, y, x = self.grid.shape
        along, across = self.grid.shape[self.beam.along], self.grid.shape[self.beam.across]
        planes = image.new_zeros((along, z, across))
        for rows in self._row_tiles:
            for columns in self._column_tiles:
                carried = self.get_buffer(rows.buffer).t() @ image[rows.pixels, columns.pixels]
                weights = self.get_buffer(columns.buffer)
                part = torch.bmm(carried.view(along, -1, weights.shape[2]), weights.transpose(1, 2))
                planes[:, rows.voxels, columns.voxels] += part
        if self.beam.along == 1:
            return planes.transpose(0, 1)
        return planes.view(x, z * y).t().contiguous().view(z, y, x)

    def _planes(self, volume: Tensor) -> Tensor:
        """(z, y, x) to (plane, z, across), last stride one."""
        z, y, x = volume.shape
        if self.beam.along == 1:
            return volume.transpose(0, 1)
        return volume.reshape(z * y, x).t().contiguous().view(x, z, y)

    def _cut(self, weights: Tensor, tile_pixels: int, name: str) -> list[_Tile]:
        """Tiles of pixels with their weights (plane, pixel, voxel) as buffers; tiles that see nothing are left out."""
        pixels = weights.shape[1]
        count = max(1, pixels // tile_pixels)
        edges = [pixels * part // count for part in range(count + 1)]
        tiles = []
        for start, stop in pairwise(edges):
            met = weights[:, start:stop].amax(dim=(0, 1)).nonzero().flatten()
            if len(met):
                low, high = int(met[0]), int(met[-1]) + 1
                reach = weights[:, start:stop, low:high].float()
                if name == "columns":
                    reach = reach.transpose(1, 2)
                else:
                    reach = reach.transpose(0, 1).reshape(stop - start, -1)
                self.register_buffer(f"{name}_{start}", reach.contiguous(), persistent=False)
                tiles.append(_Tile(slice(start, stop), slice(low, high), f"{name}_{start}"))
        return tiles


def column_weights(grid: Grid, geometry: Geometry, beam: Beam) -> Tensor:
    """Linear interpolation where each column's rays meet each plane: (plane, column, voxel), float64."""
    shift_mm = beam.pose.translation_mm[2 - beam.across]
    return _hat_weights(grid, geometry, beam, beam.across, geometry.column_centres_mm(beam), shift_mm)


def row_weights(grid: Grid, geometry: Geometry, beam: Beam) -> Tensor:
    """Linear interpolation where each row's rays meet each plane: (plane, row, voxel), float64."""
    return _hat_weights(grid, geometry, beam, 0, geometry.row_centres_mm(beam), beam.pose.translation_mm[2])


def ray_step_mm(grid: Grid, geometry: Geometry, beam: Beam) -> Tensor:
    """Path of each ray between neighbouring planes, (rows, columns), float64."""
    v = torch.from_numpy(geometry.row_centres_mm(beam))[:, None] / geometry.source_detector_mm
    u = torch.from_numpy(geometry.column_centres_mm(beam))[None, :] / geometry.source_detector_mm
    return grid.voxel_mm * torch.sqrt(1 + u * u + v * v)


def _hat_weights(
    grid: Grid, geometry: Geometry, beam: Beam, axis: int, pixels_mm: FloatArray, shift_mm: float
) -> Tensor:
    """(plane, pixel, voxel): a plane at depth d below the source is seen magnified by the source-detector distance / d."""
    planes_mm = grid.centres_mm(beam.along) + beam.pose.translation_mm[2 - beam.along]
    share = torch.from_numpy(abs(planes_mm - beam.source_mm)) / geometry.source_detector_mm
    voxels = grid.shape[axis]
    place_mm = share[:, None] * torch.from_numpy(pixels_mm)[None, :] - shift_mm
    position = place_mm / grid.voxel_mm + (voxels - 1) / 2
    return (1 - (position[:, :, None] - torch.arange(voxels)).abs()).clamp(min=0)
