"""Bodies whose line integrals are known in closed form, written without the projector's code.

Points are LPS (x, y, z) in mm from the isocentre; a body's rotation holds its axes as columns, so that
``point = centre + rotation @ local``. Integrals run along the whole line through source and pixel: bodies lie between.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Triple = tuple[float, float, float]


class Phantom(Protocol):
    """Something with an attenuation at every point and a known integral along every line."""

    def density(self, points_mm: FloatArray) -> FloatArray:
        """Attenuation per mm, (...), at points (..., 3)."""

    def integrals(self, source_mm: FloatArray, pixels_mm: FloatArray) -> FloatArray:
        """Exact line integrals (...), dimensionless, from a source (3,) to pixels (..., 3)."""


class Body(Phantom, Protocol):
    """One part of a phantom, as :func:`voxelised` needs it."""

    @property
    def bounds_mm(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest (x, y, z) beyond which the body is void; infinite where it never is."""

    def varies(self, centres_mm: FloatArray, edges_mm: Triple) -> BoolArray:
        """Whether density may change, (...), within voxels of edges (x, y, z) about centres (..., 3)."""


@final
@dataclass(frozen=True, eq=False)
class Gaussian:
    """A tilted Gaussian.

    Attributes:
        centre_mm: (x, y, z).
        sigma_mm: standard deviation along each of its own axes.
        rotation: (3, 3), its axes as columns.
        peak_mu: attenuation per mm at its centre.
    """

    centre_mm: Triple
    sigma_mm: Triple
    rotation: FloatArray
    peak_mu: float

    @property
    def mass(self) -> float:
        """Integral over space, in square mm."""
        return self.peak_mu * math.sqrt(2 * math.pi) ** 3 * math.prod(self.sigma_mm)

    @property
    def bounds_mm(self) -> tuple[FloatArray, FloatArray]:
        """Infinite: a Gaussian vanishes nowhere."""
        return np.full(3, -np.inf), np.full(3, np.inf)

    def density(self, points_mm: FloatArray) -> FloatArray:
        """Attenuation per mm, (...), at points (..., 3)."""
        scaled = _local(self, points_mm) / self.sigma_mm
        return self.peak_mu * np.exp(-0.5 * _dot(scaled, scaled))

    def integrals(self, source_mm: FloatArray, pixels_mm: FloatArray) -> FloatArray:
        """Exact line integrals (...), dimensionless, from a source (3,) to pixels (..., 3)."""
        start, step, length_mm = _scaled_lines(self, self.sigma_mm, source_mm, pixels_mm)
        nearest, squared = _nearest(start, step)
        per_mm = np.sqrt(squared) / length_mm
        return self.peak_mu * math.sqrt(2 * math.pi) / per_mm * np.exp(-0.5 * _dot(nearest, nearest))

    def varies(self, centres_mm: FloatArray, edges_mm: Triple) -> BoolArray:
        """Everywhere."""
        return np.ones(centres_mm.shape[:-1], dtype=np.bool_)


@final
@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """A tilted ellipsoid of even attenuation; negative to hollow out another.

    Attributes:
        centre_mm: (x, y, z).
        semi_axes_mm: half the length of each of its own axes.
        rotation: (3, 3), its axes as columns.
        mu: attenuation per mm.
    """

    centre_mm: Triple
    semi_axes_mm: Triple
    rotation: FloatArray
    mu: float

    @property
    def mass(self) -> float:
        """Integral over space, in square mm."""
        return self.mu * 4 / 3 * math.pi * math.prod(self.semi_axes_mm)

    @property
    def bounds_mm(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest (x, y, z) of the ellipsoid."""
        reach = np.linalg.norm(self.rotation * np.array(self.semi_axes_mm), axis=1)
        return np.array(self.centre_mm) - reach, np.array(self.centre_mm) + reach

    def density(self, points_mm: FloatArray) -> FloatArray:
        """Attenuation per mm, (...), at points (..., 3)."""
        scaled = _local(self, points_mm) / self.semi_axes_mm
        return np.where(_dot(scaled, scaled) <= 1, self.mu, 0.0)

    def integrals(self, source_mm: FloatArray, pixels_mm: FloatArray) -> FloatArray:
        """Exact line integrals (...), dimensionless, from a source (3,) to pixels (..., 3)."""
        start, step, length_mm = _scaled_lines(self, self.semi_axes_mm, source_mm, pixels_mm)
        nearest, squared = _nearest(start, step)
        half_chord = np.sqrt(np.maximum(0.0, 1 - _dot(nearest, nearest)) / squared)
        return self.mu * 2 * half_chord * length_mm

    def varies(self, centres_mm: FloatArray, edges_mm: Triple) -> BoolArray:
        """Where the surface may cross voxels of edges (x, y, z) about centres (..., 3); (...)."""
        scaled = _local(self, centres_mm) / self.semi_axes_mm
        corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * edges_mm
        reach = np.linalg.norm(corners @ self.rotation / self.semi_axes_mm, axis=1).max()
        near: BoolArray = np.abs(np.sqrt(_dot(scaled, scaled)) - 1) <= reach
        return near


@final
@dataclass(frozen=True, eq=False)
class Box:
    """A turned box of even attenuation.

    Attributes:
        centre_mm: (x, y, z).
        edges_mm: length along each of its own axes.
        rotation: (3, 3), its axes as columns.
        mu: attenuation per mm.
    """

    centre_mm: Triple
    edges_mm: Triple
    rotation: FloatArray
    mu: float

    @property
    def mass(self) -> float:
        """Integral over space, in square mm."""
        return self.mu * math.prod(self.edges_mm)

    @property
    def bounds_mm(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest (x, y, z) of the box."""
        reach = np.abs(self.rotation) @ np.array(self.edges_mm) / 2
        return np.array(self.centre_mm) - reach, np.array(self.centre_mm) + reach

    def density(self, points_mm: FloatArray) -> FloatArray:
        """Attenuation per mm, (...), at points (..., 3)."""
        scaled = np.abs(_local(self, points_mm)) / self.edges_mm
        return np.where((scaled <= 0.5).all(axis=-1), self.mu, 0.0)

    def integrals(self, source_mm: FloatArray, pixels_mm: FloatArray) -> FloatArray:
        """Exact line integrals (...), dimensionless, from a source (3,) to pixels (..., 3)."""
        start, step, length_mm = _scaled_lines(self, self.edges_mm, source_mm, pixels_mm)
        parallel = step == 0
        safe = np.where(parallel, 1.0, step)
        ends = np.stack([(-0.5 - start) / safe, (0.5 - start) / safe])
        # A line parallel to a slab runs inside it for ever or never.
        never = np.where(np.abs(start) <= 0.5, -np.inf, np.inf)
        enter = np.where(parallel, never, ends.min(axis=0)).max(axis=-1)
        leave = np.where(parallel, np.inf, ends.max(axis=0)).min(axis=-1)
        return np.asarray(self.mu * np.maximum(0.0, leave - enter) * length_mm, dtype=np.float64)

    def varies(self, centres_mm: FloatArray, edges_mm: Triple) -> BoolArray:
        """Where the surface may cross voxels of edges (x, y, z) about centres (..., 3); (...)."""
        reach = np.abs(self.rotation.T) @ np.array(edges_mm) / 2
        beyond = np.abs(_local(self, centres_mm)) - np.array(self.edges_mm) / 2
        return np.asarray((beyond <= reach).all(axis=-1) & (beyond >= -reach).any(axis=-1), dtype=np.bool_)


@final
@dataclass(frozen=True, eq=False)
class Compound:
    """Bodies that add where they overlap."""

    bodies: tuple[Gaussian | Ellipsoid | Box, ...]

    @property
    def mass(self) -> float:
        """Integral over space, in square mm."""
        return sum(body.mass for body in self.bodies)

    def density(self, points_mm: FloatArray) -> FloatArray:
        """Attenuation per mm, (...), at points (..., 3)."""
        return _added([body.density(points_mm) for body in self.bodies])

    def integrals(self, source_mm: FloatArray, pixels_mm: FloatArray) -> FloatArray:
        """Exact line integrals (...), dimensionless, from a source (3,) to pixels (..., 3)."""
        return _added([body.integrals(source_mm, pixels_mm) for body in self.bodies])


def turned(about_x_deg: float, about_y_deg: float, about_z_deg: float) -> FloatArray:
    """(3, 3) right-handed rotation about x, then y, then z of LPS."""
    return np.asarray(
        Rotation.from_euler("xyz", [about_x_deg, about_y_deg, about_z_deg], degrees=True).as_matrix(), dtype=np.float64
    )


def smooth_phantom() -> Compound:
    """Tilted, overlapping Gaussians without any symmetry; at the faces of a 230 mm cube they have all but vanished."""
    return Compound(
        (
            Gaussian((4.0, -3.0, 2.0), (20.0, 17.0, 21.5), turned(12, -18, 25), 0.0180),
            Gaussian((-24.0, 14.0, 20.0), (16.0, 11.0, 13.0), turned(35, 10, -40), 0.0140),
            Gaussian((27.0, 18.0, -12.0), (10.0, 16.0, 13.0), turned(-25, 30, 15), 0.0160),
            Gaussian((12.0, -34.0, 24.0), (14.0, 10.0, 12.0), turned(50, -20, 5), 0.0220),
            Gaussian((-32.0, -22.0, -28.0), (12.0, 14.0, 10.5), turned(-15, -45, 60), 0.0190),
            Gaussian((6.0, 36.0, 34.0), (13.0, 11.0, 10.0), turned(20, 40, -70), 0.0120),
            Gaussian((38.0, -8.0, 36.0), (10.0, 12.0, 11.0), turned(-60, 15, 30), 0.0250),
            Gaussian((-8.0, 26.0, -40.0), (15.0, 10.0, 11.5), turned(5, 25, -20), 0.0170),
        )
    )


def head_of_ellipsoids() -> Compound:
    """A head after Shepp and Logan, face to anterior: skull, brain, ventricles, eyes, air and a lesion on the left."""
    tilt = turned(-9, 4, 6)
    return Compound(
        (
            Ellipsoid((1.0, 3.0, 2.0), (75.0, 94.0, 99.0), tilt, 0.0480),
            Ellipsoid((1.5, 4.5, 3.0), (68.5, 86.5, 91.5), tilt, -0.0280),
            Ellipsoid((-15.0, -4.0, 24.0), (9.0, 27.0, 13.0), turned(-14, 8, 16), -0.0030),
            Ellipsoid((18.0, -1.0, 21.0), (7.0, 23.0, 11.0), turned(-10, -6, -19), -0.0030),
            Ellipsoid((1.0, 14.0, -6.0), (4.0, 12.0, 16.0), turned(22, 3, 2), -0.0025),
            Ellipsoid((-29.0, -66.0, -22.0), (12.5, 12.0, 12.0), turned(0, 10, -8), 0.0060),
            Ellipsoid((33.0, -64.0, -24.0), (12.0, 12.5, 11.5), turned(5, -10, 12), 0.0060),
            Ellipsoid((2.0, -60.0, -38.0), (13.0, 17.0, 21.0), turned(-20, 6, 9), -0.0190),
            Ellipsoid((42.0, 22.0, 38.0), (11.0, 15.0, 9.0), turned(30, -25, 40), 0.0070),
            Ellipsoid((45.0, 25.0, 40.0), (5.0, 6.0, 4.0), turned(10, 35, -15), 0.0120),
            Ellipsoid((-41.0, 32.0, -36.0), (17.0, 10.0, 12.0), turned(15, 20, -32), 0.0180),
            Ellipsoid((39.0, 29.0, -40.0), (19.0, 9.5, 11.0), turned(12, -16, 28), 0.0200),
            Ellipsoid((-3.0, 49.0, -42.0), (31.0, 22.0, 16.0), turned(-18, 7, 5), 0.0015),
        )
    )


def rotated_box() -> Compound:
    """One box turned about all three axes, off the isocentre."""
    return Compound((Box((9.0, -14.0, 11.0), (104.0, 76.0, 122.0), turned(24, -17, 33), 0.0200),))


def voxelised(
    phantom: Compound, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], finer: int
) -> NDArray[np.float32]:
    """The phantom on a grid centred on the isocentre.

    Args:
        phantom: the bodies to sample.
        shape: voxels along (z, y, x).
        spacing_mm: voxel edges along (z, y, x).
        finer: 1 samples at voxel centres; n takes the mean of n * n * n even sub-samples wherever density may change
            within a voxel, which is everywhere in a Gaussian.

    Returns:
        (z, y, x), attenuation per mm; indices grow towards superior, posterior and left.
    """
    z, y, x = (_centres(cells, pitch_mm) for cells, pitch_mm in zip(shape, spacing_mm, strict=True))
    edges_mm = (spacing_mm[2], spacing_mm[1], spacing_mm[0])
    half_mm = np.array(edges_mm) / 2
    offsets_mm = _sub_centres(edges_mm, finer)
    voxels = np.zeros(shape, dtype=np.float32)
    for k, height_mm in enumerate(z):
        slab = np.zeros(shape[1:], dtype=np.float64)
        for body in phantom.bodies:
            low, high = body.bounds_mm[0] - half_mm, body.bounds_mm[1] + half_mm
            if not low[2] <= height_mm <= high[2]:
                continue
            rows = slice(*np.searchsorted(y, (low[1], high[1])))
            columns = slice(*np.searchsorted(x, (low[0], high[0])))
            part = slab[rows, columns]
            part += _slab_means(body, x[columns], y[rows], float(height_mm), edges_mm, offsets_mm)
        voxels[k] = slab
    return voxels


def _slab_means(
    body: Body, x_mm: FloatArray, y_mm: FloatArray, z_mm: float, edges_mm: Triple, offsets_mm: FloatArray
) -> FloatArray:
    centres = np.empty((len(y_mm), len(x_mm), 3))
    centres[..., 0], centres[..., 1], centres[..., 2] = x_mm, y_mm[:, None], z_mm
    means = body.density(centres)
    if len(offsets_mm) > 1:
        varying = body.varies(centres, edges_mm)
        inside = centres[varying]
        means[varying] = sum((body.density(inside + offset) for offset in offsets_mm), np.zeros(len(inside)))
        means[varying] /= len(offsets_mm)
    return means


def _sub_centres(edges_mm: Triple, finer: int) -> FloatArray:
    """Offsets (finer ** 3, 3) of even sub-samples from their voxel's centre."""
    steps = (np.arange(finer) + 0.5) / finer - 0.5
    return np.array(list(itertools.product(steps, repeat=3))) * edges_mm


def _centres(cells: int, pitch_mm: float) -> FloatArray:
    return np.asarray((np.arange(cells) - (cells - 1) / 2) * pitch_mm, dtype=np.float64)


def _local(body: Gaussian | Ellipsoid | Box, points_mm: FloatArray) -> FloatArray:
    return np.asarray((points_mm - np.array(body.centre_mm)) @ body.rotation, dtype=np.float64)


def _scaled_lines(
    body: Gaussian | Ellipsoid | Box, units_mm: Triple, source_mm: FloatArray, pixels_mm: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Source (3,) and source to pixel (..., 3) in the body's axes and units, and that distance (...) in mm."""
    ways_mm = pixels_mm - source_mm
    return _local(body, source_mm) / units_mm, ways_mm @ body.rotation / units_mm, np.linalg.norm(ways_mm, axis=-1)


def _nearest(start: FloatArray, step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The lines' points (..., 3) nearest to the origin, and their steps' squared lengths (...)."""
    squared = _dot(step, step)
    nearest = start - (_dot(step, start) / squared)[..., None] * step
    return nearest, squared


def _dot(first: FloatArray, second: FloatArray) -> FloatArray:
    product: FloatArray = np.einsum("...i,...i->...", first, second)
    return product


def _added(parts: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)
