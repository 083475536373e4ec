"""One view as banded matrix products: the separable plane sweep, on any device.

Planes that are parallel to a lattice of rays are magnified as a whole, and magnification is separable in rows and columns.
The sum over planes, each read where the ray meets it, times the path between planes, is Joseph's method (IEEE Trans Med
Imaging 1:192, 1982), here with cubic in place of linear interpolation. Two products do it: one magnifies every plane along
the columns, the other magnifies along the rows and sums the planes. A ray sees few voxels of a plane, so the lattice is cut into tiles, and each tile multiplies only the
voxels within its reach. The adjoint is the transpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from torch import Tensor

from common.geometry import Beam, FloatArray, Geometry, Grid, no_ray_crosses
from common.projection.interpolation import TAPS, keys_weights
from common.projection.lattice import Placement, ray_lattice
from common.projection.readout import Readout
from common.ray_module import RayModule

COLUMN_TILE_RAYS = 32
ROW_TILE_RAYS = 64


@final
@dataclass(frozen=True)
class _Tile:
    """Neighbouring rows or columns of rays, the voxels within their reach, and the buffer that holds the weights."""

    rays: slice
    voxels: slice
    buffer: str


@final
class SweptBeam(RayModule):
    """One view's linear map and its transpose, for a patient in any pose.

    Weights take about ``4 * planes * (voxels across * columns + voxels along z * rows)`` bytes, less what tiles save.

    Args:
        grid: the volume's grid, centred on the isocentre.
        geometry: source, detector and views.
        beam: the view with its pose.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if source or detector lies inside the volume, or no ray crosses it.
    """

    def __init__(self, grid: Grid, geometry: Geometry, beam: Beam) -> None:
        super().__init__(grid, geometry)
        self.beam = beam
        spacing = grid.voxel_mm, grid.voxel_mm, grid.voxel_mm
        lattice = ray_lattice(Placement.centred(grid.shape, spacing), grid.shape, geometry, beam)
        self._lattice_shape = lattice.shape
        planes, (rows, columns) = grid.shape[beam.along], lattice.shape
        self._column_tiles = self._cut(lattice.sweep.places(planes, columns), beam.across, COLUMN_TILE_RAYS)
        self._row_tiles = self._cut(lattice.sweep.heights(planes, rows), 0, ROW_TILE_RAYS)
        if not (self._column_tiles and self._row_tiles):
            raise no_ray_crosses(beam)
        row, column, ray = lattice.pixels()
        step_mm = torch.from_numpy(grid.voxel_mm * np.linalg.norm(ray, axis=-1))
        self.register_buffer("step_mm", step_mm.float(), persistent=False)
        self.readout = None if lattice.is_detector else Readout(row, column, lattice.shape)

    def project(self, volumes: Tensor) -> Tensor:
        """(B, z, y, x) attenuation per mm to (B, rows, columns) line integrals, in the buffers' precision."""
        swept = torch.stack([self._swept(self._planes(volume)) for volume in volumes])
        images = swept if self.readout is None else self.readout(swept)
        return images * self.get_buffer("step_mm")

    def smear(self, images: Tensor) -> Tensor:
        """The transpose of :meth:`project`: (B, rows, columns) to (B, z, y, x)."""
        images = images * self.get_buffer("step_mm")
        swept = images if self.readout is None else self.readout.transposed(images)
        return torch.stack([self._smeared(image) for image in swept])

    def _swept(self, planes: Tensor) -> Tensor:
        """(plane, z, across) to the lattice (rows, columns), without the path between planes."""
        image = planes.new_zeros(self._lattice_shape)
        for rows in self._row_tiles:
            weights = self.get_buffer(rows.buffer)
            for columns in self._column_tiles:
                # The last stride stays one: batched products on other views can be thirty times slower.
                magnified = torch.bmm(planes[:, rows.voxels, columns.voxels], self.get_buffer(columns.buffer))
                image[rows.rays, columns.rays] = weights @ magnified.view(weights.shape[1], -1)
        return image

    def _smeared(self, image: Tensor) -> Tensor:
        """The lattice (rows, columns) to (z, y, x)."""
        z, y, x = self.grid.shape
        along, across = self.grid.shape[self.beam.along], self.grid.shape[self.beam.across]
        planes = image.new_zeros((along, z, across))
        for rows in self._row_tiles:
            weights = self.get_buffer(rows.buffer).t()
            for columns in self._column_tiles:
                magnified = (weights @ image[rows.rays, columns.rays]).view(along, rows.voxels.stop - rows.voxels.start, -1)
                planes[:, rows.voxels, columns.voxels] += torch.bmm(
                    magnified, self.get_buffer(columns.buffer).transpose(1, 2)
                )
        if self.beam.along == 1:
            return planes.transpose(0, 1)
        return planes.view(x, z * y).t().contiguous().view(z, y, x)

    def _planes(self, volume: Tensor) -> Tensor:
        """(z, y, x) to (plane, z, across), last stride one."""
        z, y, x = volume.shape
        if self.beam.along == 1:
            return volume.contiguous().transpose(0, 1)
        return volume.reshape(z * y, x).t().contiguous().view(x, z, y)

    def _cut(self, places: FloatArray, axis: int, tile_rays: int) -> list[_Tile]:
        """Tiles of rays with their weights as buffers, from (plane, ray) places; tiles that meet nothing are left out.

        Buffers are (plane, voxels, rays) across the beam and (rays, planes * voxels) along z.
        """
        count, voxels = max(1, places.shape[1] // tile_rays), self.grid.shape[axis]
        edges = [places.shape[1] * part // count for part in range(count + 1)]
        tiles = []
        for start, stop in pairwise(edges):
            part = places[:, start:stop]
            met = part[(part > -2) & (part < voxels + 1)]
            if met.size:
                reach = slice(max(0, int(np.floor(met.min())) - 1), min(voxels, int(np.floor(met.max())) + 3))
                weights = _banded(part - reach.start, reach.stop - reach.start)
                tile = _Tile(slice(start, stop), reach, f"axis{axis}_{start}")
                weights = weights.permute(1, 0, 2).flatten(1) if axis == 0 else weights.transpose(1, 2)
                self.register_buffer(tile.buffer, weights.contiguous(), persistent=False)
                tiles.append(tile)
        return tiles


def _banded(places: FloatArray, voxels: int) -> Tensor:
    """(plane, ray, voxel) float32, cubic weights of the voxels around each place; voxels beyond the edges are air."""
    below = np.floor(places)
    index = torch.from_numpy(below).long()[..., None] + torch.arange(-1, TAPS - 1)
    values = torch.from_numpy(keys_weights(places - below)).float()
    inside = (index >= 0) & (index < voxels)
    weights = torch.zeros(*places.shape, voxels)
    return weights.scatter_add_(2, index.clamp(0, voxels - 1), torch.where(inside, values, 0))
