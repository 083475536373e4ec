"""Solid shapes as signed distances, and the canvas that paints them with anti-aliased edges.

Points and radii are (x, y, z) in millimetres, x to the left, y to posterior, z to superior. A signed distance is
negative inside. Arrays are (z, y, x), float32 wherever the coordinates are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
Point = tuple[float, float, float]
Bounds = tuple[Point, Point]
Slab = tuple[slice, slice, slice]


class Shape(Protocol):
    """A solid with a bounding box and a signed distance."""

    def bounds(self) -> Bounds:
        """Lowest and highest corner of the box that holds the solid, mm."""
        ...

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Signed distance in mm at points given by three equally shaped arrays."""
        ...


@final
@dataclass(frozen=True)
class Ellipsoid:
    """An axis-aligned ellipsoid; the distance is exact to first order at the surface."""

    centre: Point
    radii: Point

    def bounds(self) -> Bounds:
        """Corners of the tight box."""
        (a, b, c), (u, v, w) = self.centre, self.radii
        return (a - u, b - v, c - w), (a + u, b + v, c + w)

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Implicit value over its gradient's length."""
        scaled: list[Field] = []
        for axis, centre, radius in zip((x, y, z), self.centre, self.radii, strict=True):
            term = axis - centre
            term *= 1.0 / radius
            scaled.append(term)
        value, slope = _sum_of_squares(scaled), scaled
        for term, radius in zip(slope, self.radii, strict=True):
            term *= 1.0 / radius
        gradient = np.sqrt(_sum_of_squares(slope))
        root = np.sqrt(value)
        gradient += 1e-6
        value -= root
        value /= gradient
        return value


@final
@dataclass(frozen=True)
class Rod:
    """A rod with round ends whose radius runs from one end's to the other's."""

    start: Point
    end: Point
    start_mm: float
    end_mm: float

    def bounds(self) -> Bounds:
        """Corners of a box that holds both end spheres."""
        ends = ((self.start, self.start_mm), (self.end, self.end_mm))
        low = (min(p[0] - r for p, r in ends), min(p[1] - r for p, r in ends), min(p[2] - r for p, r in ends))
        high = (max(p[0] + r for p, r in ends), max(p[1] + r for p, r in ends), max(p[2] + r for p, r in ends))
        return low, high

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Distance to the axis less the radius there."""
        dx, dy, dz = (e - s for s, e in zip(self.start, self.end, strict=True))
        px, py, pz = x - self.start[0], y - self.start[1], z - self.start[2]
        along = px * dx
        along += py * dy
        along += pz * dz
        along *= 1.0 / (dx * dx + dy * dy + dz * dz)
        np.clip(along, 0.0, 1.0, out=along)
        px -= along * dx
        py -= along * dy
        pz -= along * dz
        away = np.sqrt(_sum_of_squares([px, py, pz]))
        along *= self.end_mm - self.start_mm
        along += self.start_mm
        away -= along
        return away


@final
@dataclass(frozen=True)
class Arch:
    """A parabolic wall such as a jaw: open to posterior, with a lower and an upper border that may slope with y.

    Attributes:
        front_mm: y of the wall's middle at x = 0.
        curvature: y rises by curvature·x² along the wall.
        half_width_mm: half the wall's thickness.
        lower, upper: (z at y = front_mm, change of z per mm towards posterior).
        back_mm: the wall ends at this y.
    """

    front_mm: float
    curvature: float
    half_width_mm: float
    lower: tuple[float, float]
    upper: tuple[float, float]
    back_mm: float

    def bounds(self) -> Bounds:
        """Corners of the box that holds the wall."""
        reach = float(np.sqrt((self.back_mm - self.front_mm) / self.curvature)) + self.half_width_mm
        length = self.back_mm - self.front_mm
        low = min(self.lower[0], self.lower[0] + self.lower[1] * length)
        high = max(self.upper[0], self.upper[0] + self.upper[1] * length)
        return (-reach, self.front_mm - self.half_width_mm, low), (reach, self.back_mm, high)

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Greatest of the distances to the wall's faces and borders."""
        behind = y - self.front_mm
        slope = x * (2 * self.curvature)
        across: Field = np.abs((behind - self.curvature * x * x) / np.sqrt(1 + slope * slope)) - self.half_width_mm
        np.maximum(across, self.lower[0] + self.lower[1] * behind - z, out=across)
        np.maximum(across, z - self.upper[0] - self.upper[1] * behind, out=across)
        np.maximum(across, y - self.back_mm, out=across)
        return across


@final
@dataclass(frozen=True)
class Plate:
    """A rounded box that leans: its middle shifts by ``lean`` (x, y) mm per mm of z."""

    centre: Point
    half: Point
    rounding_mm: float
    lean: tuple[float, float] = (0.0, 0.0)

    def bounds(self) -> Bounds:
        """Corners of the box that holds the leaning plate."""
        spread = (abs(self.lean[0]) * self.half[2], abs(self.lean[1]) * self.half[2], 0.0)
        reach = tuple(h + s for h, s in zip(self.half, spread, strict=True))
        a, b, c = self.centre
        return (a - reach[0], b - reach[1], c - reach[2]), (a + reach[0], b + reach[1], c + reach[2])

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Distance to the rounded box in the sheared frame."""
        up = z - self.centre[2]
        sides = (x - self.centre[0] - self.lean[0] * up, y - self.centre[1] - self.lean[1] * up, up)
        over = [np.abs(s) - (h - self.rounding_mm) for s, h in zip(sides, self.half, strict=True)]
        inside = np.minimum(np.maximum(np.maximum(over[0], over[1]), over[2]), 0.0)
        outside = np.sqrt(_sum_of_squares([np.maximum(o, 0.0) for o in over]))
        distance: Field = inside + outside - self.rounding_mm
        return distance


def smooth_union(first: Field, second: Field, blend_mm: float) -> Field:
    """Signed distance of two solids joined with a fillet of about ``blend_mm``."""
    near = first - second
    np.abs(near, out=near)
    np.subtract(blend_mm, near, out=near)
    np.maximum(near, 0.0, out=near)
    near *= near
    near *= 0.25 / blend_mm
    joined = np.minimum(first, second)
    joined -= near
    return joined


def coverage(distance: Field, edge_mm: float) -> Field:
    """Share of a voxel inside the solid: 1 inside, 0 outside, linear over ``edge_mm`` at the surface."""
    share: Field = distance * (-1.0 / edge_mm)
    share += 0.5
    np.clip(share, 0.0, 1.0, out=share)
    return share


@final
class Canvas:
    """A volume in HU, with the anatomical coordinates of every voxel, onto which shapes are painted in turn.

    Args:
        x, y, z: anatomical coordinates in mm of each voxel, shape (z, y, x) each.
        edge_mm: width of the anti-aliased edge, usually the voxel.
        background_hu: value before anything is painted.
    """

    def __init__(self, x: Field, y: Field, z: Field, *, edge_mm: float, background_hu: float) -> None:
        self.x, self.y, self.z = x, y, z
        self.edge_mm = edge_mm
        self.background_hu = background_hu
        self.hu: Field = np.full(x.shape, background_hu, dtype=np.float32)
        # Least and greatest anatomical coordinate in each plane of voxels: a shape's box is found from these alone.
        planes = ((z, (1, 2)), (y, (0, 2)), (x, (0, 1)))
        self._reach = [(field.min(axis=axes), field.max(axis=axes)) for field, axes in planes]

    def slab(self, bounds: Bounds, margin_mm: float = 0.0) -> Slab | None:
        """Index box of every voxel that may touch the bounds widened by a margin, or None if there is none."""
        low, high = bounds
        margin = margin_mm + self.edge_mm
        spans: list[slice] = []
        for (least, greatest), axis in zip(self._reach, (2, 1, 0), strict=True):
            touched = np.flatnonzero((greatest >= low[axis] - margin) & (least <= high[axis] + margin))
            if touched.size == 0:
                return None
            spans.append(slice(int(touched[0]), int(touched[-1]) + 1))
        return spans[0], spans[1], spans[2]

    def at(self, slab: Slab) -> tuple[Field, Field, Field]:
        """Anatomical x, y, z inside an index box, as views."""
        return self.x[slab], self.y[slab], self.z[slab]

    def paint(self, shape: Shape, hu: float | Callable[[Field, Field, Field], Field]) -> None:
        """Cover the solid with a value, or with a texture evaluated at its voxels."""
        slab = self.slab(shape.bounds())
        if slab is None:
            return
        x, y, z = self.at(slab)
        share = coverage(shape.distance(x, y, z), self.edge_mm)
        value = hu(x, y, z) if callable(hu) else hu
        share *= value - self.hu[slab]
        self.hu[slab] += share

    def join(self, distance: Field, shape: Shape, blend_mm: float, margin_mm: float = 30.0) -> None:
        """Join a solid into a full-volume signed distance in place, near the solid only."""
        slab = self.slab(shape.bounds(), margin_mm)
        if slab is not None:
            distance[slab] = smooth_union(distance[slab], shape.distance(*self.at(slab)), blend_mm)


def _sum_of_squares(terms: list[Field]) -> Field:
    total = terms[0] * terms[0]
    for term in terms[1:]:
        total += term * term
    return total
