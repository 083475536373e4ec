"""Rays that a plane sweep can follow, and the detector's pixels among them.

A plane sweep wants the detector parallel to the volume's planes. A line integral depends on the ray alone and not on
the detector that catches it, so a turned, shifted or sheared volume (a tilted gantry) is swept along a lattice of
rays through the same source that is parallel to its planes, and the detector's pixels are read off that lattice by
cubic interpolation. Where the detector is parallel already, the lattice is the detector and nothing is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from common.geometry import Beam, FloatArray, Geometry, expect_between

_MARGIN_CELLS = 2
_PARALLEL_CELLS = 1e-6


@final
@dataclass(frozen=True)
class Placement:
    """Where a volume's voxels lie: an affine map from (z, y, x) indices to LPS mm, the isocentre at the origin.

    Attributes:
        first_mm: (3,), centre of voxel (0, 0, 0), LPS (x, y, z).
        steps_mm: (3, 3); row k is the step to the next voxel along array axis k, LPS (x, y, z).
    """

    first_mm: FloatArray
    steps_mm: FloatArray

    @classmethod
    def centred(cls, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Placement:
        """A volume along the LPS axes whose centre is the isocentre; shape and spacing are (z, y, x)."""
        steps = np.diag(spacing_mm)[:, ::-1].astype(np.float64)
        return cls(-0.5 * (np.array(shape) - 1) @ steps, steps)

    def indices(self, points_mm: FloatArray) -> FloatArray:
        """(..., 3) LPS points to (..., 3) fractional (z, y, x) indices."""
        return self.index_steps(points_mm - self.first_mm)

    def index_steps(self, vectors_mm: FloatArray) -> FloatArray:
        """(..., 3) LPS vectors to (..., 3) differences of (z, y, x) indices."""
        return np.asarray(vectors_mm @ np.linalg.inv(self.steps_mm), dtype=np.float64)


class Sweep(NamedTuple):
    """A source and a lattice of rays in voxel indices.

    Rays pass through the plane ``along == reference`` at heights ``first_row + j * row_step`` and sideways places
    ``first_column + i * column_step`` with a positive column step.
    """

    source_height: float
    source_along: float
    source_across: float
    reference: float
    first_row: float
    row_step: float
    first_column: float
    column_step: float

    def heights(self, planes: int, rows: int) -> FloatArray:
        """(plane, row): where each row of rays meets each plane, in voxels along z."""
        return self._met(planes, self.first_row + np.arange(rows) * self.row_step, self.source_height)

    def places(self, planes: int, columns: int) -> FloatArray:
        """(plane, column): where each column of rays meets each plane, in voxels across the beam."""
        return self._met(planes, self.first_column + np.arange(columns) * self.column_step, self.source_across)

    def _met(self, planes: int, at_reference: NDArray[np.floating], source: float) -> FloatArray:
        share = (np.arange(planes) - self.source_along) / (self.reference - self.source_along)
        return np.asarray(source + share[:, None] * (at_reference - source), dtype=np.float64)


@final
@dataclass(frozen=True)
class Lattice:
    """The rays of one view in voxel indices (z, y, x): the detector as it is, and the lattice that is swept.

    Attributes:
        beam: the view.
        detector_shape: rows and columns of the detector.
        source: (3,), the focal spot.
        corner: (3,), the centre of pixel (0, 0).
        row_step: (3,), from one row to the next.
        column_step: (3,), from one column to the next.
        sweep: the rays that are swept.
        shape: rows and columns of the lattice.
        is_detector: whether ray (j, i) of the lattice goes to pixel (j, i).
    """

    beam: Beam
    detector_shape: tuple[int, int]
    source: FloatArray
    corner: FloatArray
    row_step: FloatArray
    column_step: FloatArray
    sweep: Sweep
    shape: tuple[int, int]
    is_detector: bool

    @cached_property
    def pixels(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Each pixel's fractional lattice row and column, and its ray (..., 3) from plane to plane, in indices."""
        rows, columns = (np.arange(cells)[:, None] for cells in self.detector_shape)
        ray = (self.corner - self.source) + (rows * self.row_step)[:, None] + (columns * self.column_step)[None]
        ray = ray / ray[..., self.beam.along, None]
        reach = self.sweep.reference - self.sweep.source_along
        row = (self.sweep.source_height + ray[..., 0] * reach - self.sweep.first_row) / self.sweep.row_step
        across = self.sweep.source_across + ray[..., self.beam.across] * reach
        return row, (across - self.sweep.first_column) / self.sweep.column_step, ray


def ray_lattice(placement: Placement, shape: tuple[int, ...], geometry: Geometry, beam: Beam) -> Lattice:
    """The lattice for one view of a volume.

    Args:
        placement: where the volume lies, as the patient lies to the beam's pose.
        shape: voxels along (z, y, x).
        geometry: source, detector and views.
        beam: the view.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` unless all of the volume's planes along the beam lie between source and detector.
    """
    rays = geometry.rays(beam)
    source, corner = placement.indices(rays.source_mm), placement.indices(rays.corner_mm)
    row_step, column_step = placement.index_steps(rays.row_step_mm), placement.index_steps(rays.column_step_mm)
    rows, columns = geometry.detector_shape
    ends = corner + np.array([[r * row_step + c * column_step for c in (0, columns - 1)] for r in (0, rows - 1)])
    expect_between(source[beam.along], ends[..., beam.along], (-0.5, shape[beam.along] - 0.5), beam)
    reference = (shape[beam.along] - 1) / 2
    share = (reference - source[beam.along]) / (ends[..., beam.along] - source[beam.along])
    met = source + (ends - source) * share[..., None]
    heights, places = met[..., 0], met[..., beam.across]
    skew = (np.ptp(heights, axis=1), np.ptp(places, axis=0), np.ptp(ends[..., beam.along]))
    upright = bool(max(np.max(part) for part in skew) < _PARALLEL_CELLS * max(shape))
    first, steps, cells = (_detector_lattice if upright else _covering_lattice)(heights, places, (rows, columns))
    sweep = Sweep(
        float(source[0]),
        float(source[beam.along]),
        float(source[beam.across]),
        reference,
        first[0],
        steps[0],
        first[1],
        steps[1],
    )
    is_detector = upright and bool(places[0, 1] > places[0, 0])
    return Lattice(beam, (rows, columns), source, corner, row_step, column_step, sweep, cells, is_detector)


_Lattice = tuple[tuple[float, float], tuple[float, float], tuple[int, int]]


def _detector_lattice(heights: FloatArray, places: FloatArray, cells: tuple[int, int]) -> _Lattice:
    """First ray, steps and shape of the detector itself, its columns turned round if they fall."""
    row_step = (heights[1, 0] - heights[0, 0]) / (cells[0] - 1)
    column_step = abs(places[0, 1] - places[0, 0]) / (cells[1] - 1)
    return (float(heights[0, 0]), float(places.min())), (float(row_step), float(column_step)), cells


def _covering_lattice(heights: FloatArray, places: FloatArray, cells: tuple[int, int]) -> _Lattice:
    """First ray, steps and shape of a lattice around all pixels, as fine as the detector's finer edges."""
    row_step = float(abs(heights[1] - heights[0]).min()) / (cells[0] - 1)
    column_step = float(abs(places[:, 1] - places[:, 0]).min()) / (cells[1] - 1)
    first = float(heights.min()) - _MARGIN_CELLS * row_step, float(places.min()) - _MARGIN_CELLS * column_step
    rows = int(np.ceil(np.ptp(heights) / row_step)) + 2 * _MARGIN_CELLS + 1
    columns = int(np.ceil(np.ptp(places) / column_step)) + 2 * _MARGIN_CELLS + 1
    return first, (row_step, column_step), (rows, columns)
