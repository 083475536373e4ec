"""One view as banded matrix products: the separable plane sweep, on any device.

Planes that are parallel to a lattice of rays are magnified as a whole, and magnification is separable in rows and
columns. The sum over planes, each read where the ray meets it, times the path between planes, is Joseph's method
(IEEE Trans Med Imaging 1:192, 1982), here with cubic in place of linear interpolation. Two products do it: one
magnifies every plane along the columns, the other magnifies along the rows and sums the planes. A ray sees few voxels
of a plane, so the lattice is cut into tiles, and each tile multiplies only the voxels within its reach. The adjoint
is the transpose.
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
from common.projection.ray_module import RayModule
from common.projection.readout import Readout

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
        self.lattice = ray_lattice(Placement.centred(grid.shape, spacing), grid.shape, geometry, beam)
        if not all(_meets(places, voxels) for places, voxels in self._crossings()):
            raise no_ray_crosses(beam)
        ray = self.lattice.pixels[2]
        step_mm = grid.voxel_mm * np.sqrt(np.einsum("...i,...i", ray, ray))
        self.register_buffer("step_mm", torch.from_numpy(step_mm).float(), persistent=False)
        self._readout: Readout | None = None
        self._tiles: tuple[list[_Tile], list[_Tile]] | None = None

    def sweep(self, volumes: Tensor) -> Tensor:
        """(B, z, y, x) to the detector (B, rows, columns): values summed over planes, in the buffers' precision.

        Times ``step_mm``, the path between planes, these are line integrals.
        """
        images = torch.stack([self._swept(self._planes(volume)) for volume in volumes])
        return images if self.lattice.is_detector else self._read()(images)

    def smear(self, images: Tensor) -> Tensor:
        """The transpose of :meth:`sweep`: (B, rows, columns) to (B, z, y, x)."""
        if not self.lattice.is_detector:
            images = self._read().transposed(images)
        return torch.stack([self._smeared(image) for image in images])

    def _swept(self, planes: Tensor) -> Tensor:
        """(plane, z, across) to the lattice (rows, columns), without the path between planes."""
        image = planes.new_zeros(self.lattice.shape)
        row_tiles, column_tiles = self._weighted()
        for rows in row_tiles:
            weights = self.get_buffer(rows.buffer)
            for columns in column_tiles:
                # The last stride stays one: batched products on other views can be thirty times slower.
                magnified = torch.bmm(planes[:, rows.voxels, columns.voxels], self.get_buffer(columns.buffer))
                image[rows.rays, columns.rays] = weights @ magnified.view(weights.shape[1], -1)
        return image

    def _smeared(self, image: Tensor) -> Tensor:
        """The lattice (rows, columns) to (z, y, x)."""
        z, y, x = self.grid.shape
        along, across = self.grid.shape[self.beam.along], self.grid.shape[self.beam.across]
        planes = image.new_zeros((along, z, across))
        row_tiles, column_tiles = self._weighted()
        for rows in row_tiles:
            weights = self.get_buffer(rows.buffer).t()
            for columns in column_tiles:
                magnified = (weights @ image[rows.rays, columns.rays]).view(
                    along, rows.voxels.stop - rows.voxels.start, -1
                )
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

    def _weighted(self) -> tuple[list[_Tile], list[_Tile]]:
        """Tiles of rows and of columns; their weights are made when they are first wanted."""
        if self._tiles is None:
            (heights, _), (places, _) = self._crossings()
            rows = self._cut(heights, 0, ROW_TILE_RAYS)
            self._tiles = rows, self._cut(places, self.beam.across, COLUMN_TILE_RAYS)
        return self._tiles

    def _read(self) -> Readout:
        """The detector's pixels from the lattice; made when it is first wanted."""
        if self._readout is None:
            row, column, _ = self.lattice.pixels
            self._readout = Readout(row, column, self.lattice.shape).to(self.get_buffer("step_mm"))
        return self._readout

    def _crossings(self) -> tuple[tuple[FloatArray, int], tuple[FloatArray, int]]:
        """(plane, ray) places of the rows along z and of the columns across the beam, and the voxels there."""
        planes, (rows, columns) = self.grid.shape[self.beam.along], self.lattice.shape
        heights, places = self.lattice.sweep.heights(planes, rows), self.lattice.sweep.places(planes, columns)
        return (heights, self.grid.shape[0]), (places, self.grid.shape[self.beam.across])

    def _cut(self, places: FloatArray, axis: int, tile_rays: int) -> list[_Tile]:
        """Tiles of rays with their weights as buffers, from (plane, ray) places; tiles that meet nothing are left out.

        Buffers are (plane, voxels, rays) across the beam and (rays, planes * voxels) along z.
        """
        count, voxels = max(1, places.shape[1] // tile_rays), self.grid.shape[axis]
        edges = [places.shape[1] * part // count for part in range(count + 1)]
        tiles = []
        for start, stop in pairwise(edges):
            part = places[:, start:stop]
            if _meets(part, voxels):
                met = part[(part > -2) & (part < voxels + 1)]
                reach = slice(max(0, int(np.floor(met.min())) - 1), min(voxels, int(np.floor(met.max())) + 3))
                weights = _banded(part - reach.start, reach.stop - reach.start)
                tile = _Tile(slice(start, stop), reach, f"axis{axis}_{start}")
                weights = weights.permute(1, 0, 2).flatten(1) if axis == 0 else weights.transpose(1, 2)
                self.register_buffer(tile.buffer, weights.contiguous().to(self.get_buffer("step_mm")), persistent=False)
                tiles.append(tile)
        return tiles


def _meets(places: FloatArray, voxels: int) -> bool:
    """Whether a place lies near enough to a voxel to read it."""
    return bool(((places > -2) & (places < voxels + 1)).any())


def _banded(places: FloatArray, voxels: int) -> Tensor:
    """(plane, ray, voxel) float32, cubic weights of the voxels around each place; voxels beyond the edges are air."""
    below = np.floor(places)
    index = torch.from_numpy(below).long()[..., None] + torch.arange(-1, TAPS - 1)
    values = torch.from_numpy(keys_weights(places - below)).float()
    inside = (index >= 0) & (index < voxels)
    weights = torch.zeros(*places.shape, voxels)
    return weights.scatter_add_(2, index.clamp(0, voxels - 1), torch.where(inside, values, 0))
