"""Closed forms against brute force, and voxels against the bodies that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.projection.phantoms import (
    Box,
    Compound,
    Ellipsoid,
    Gaussian,
    head_of_ellipsoids,
    rotated_box,
    smooth_phantom,
    turned,
    voxelised,
)
from benchmarks.projection.scene import view_rays
from common.geometry import Geometry

Array = NDArray[np.float64]
SOURCES = [(0.0, 1000.0, 0.0), (-1000.0, 0.0, 0.0), (577.0, -620.0, 210.0)]


def quadrature(phantom: Compound | Gaussian | Ellipsoid | Box, source: Array, pixels: Array, samples: int) -> Array:
    """Midpoint sums over the middle 400 mm of every ray."""
    ways = pixels - source
    lengths = np.linalg.norm(ways, axis=-1)
    nearest = -(ways @ source) / lengths**2
    along_mm = ((np.arange(samples) + 0.5) / samples - 0.5) * 400
    at = nearest[:, None] + along_mm / lengths[:, None]
    return phantom.density(source + at[..., None] * ways[:, None]).sum(axis=-1) * (400 / samples)


def random_pixels(source: Array, count: int, within_mm: float, seed: int) -> Array:
    """Ends of rays that pass through random points of a cube about the isocentre."""
    through = np.random.default_rng(seed).uniform(-within_mm, within_mm, (count, 3))
    return source + (through - source) * 1.5


@pytest.mark.parametrize("source", SOURCES)
def test_gaussian_integrals_equal_quadrature(source: tuple[float, float, float]) -> None:
    start = np.array(source)
    pixels = random_pixels(start, 60, 50, seed=1)
    bodies = (*smooth_phantom().bodies, Gaussian((5.0, -9.0, 3.0), (3.0, 11.0, 27.0), turned(40, 20, -70), 0.02))
    for body in bodies:
        np.testing.assert_allclose(
            body.integrals(start, pixels), quadrature(body, start, pixels, 4000), rtol=1e-6, atol=1e-12
        )
    phantom = smooth_phantom()
    np.testing.assert_allclose(phantom.integrals(start, pixels), quadrature(phantom, start, pixels, 4000), rtol=1e-6)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "phantom",
    [
        Ellipsoid((14.0, -22.0, 9.0), (21.0, 60.0, 38.0), turned(33, -48, 71), 0.02),
        Box((-11.0, 17.0, 23.0), (35.0, 90.0, 58.0), turned(-28, 41, 12), 0.02),
        rotated_box(),
        head_of_ellipsoids(),
    ],
    ids=["ellipsoid", "box", "rotated_box", "head"],
)
def test_sharp_integrals_equal_dense_sampling(
    phantom: Ellipsoid | Box | Compound, source: tuple[float, float, float]
) -> None:
    start = np.array(source)
    pixels = random_pixels(start, 60, 45, seed=2)
    samples = 40_000
    bodies = phantom.bodies if isinstance(phantom, Compound) else (phantom,)
    # Midpoint sums miss at most half a step at each end of a chord.
    bound = sum(abs(body.mu) for body in bodies if not isinstance(body, Gaussian)) * 400 / samples
    expected = phantom.integrals(start, pixels)
    assert np.count_nonzero(expected) >= 20
    assert np.abs(expected - quadrature(phantom, start, pixels, samples)).max() <= bound


def test_chords_known_by_heart() -> None:
    start, end = np.array([0.0, -500.0, 0.0]), np.array([[0.0, 500.0, 0.0], [0.0, 500.0, 900.0]])
    ball = Ellipsoid((0.0, 0.0, 0.0), (20.0, 30.0, 40.0), np.eye(3), 0.1)
    box = Box((0.0, 10.0, 0.0), (20.0, 30.0, 40.0), np.eye(3), 0.1)
    np.testing.assert_allclose(ball.integrals(start, end), [6.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(box.integrals(start, end), [3.0, 0.0], atol=1e-12)


def test_a_ray_parallel_to_the_box_beside_it_misses() -> None:
    box = Box((30.0, 0.0, 0.0), (20.0, 30.0, 40.0), np.eye(3), 0.1)
    ends = np.array([[19.9, 500.0, 0.0], [20.1, 500.0, 0.0], [40.1, 500.0, 0.0]])
    found = [box.integrals(end * [1, -1, 1], end) for end in ends]
    np.testing.assert_allclose(found, [0.0, 3.0, 0.0], atol=1e-12)


def test_bodies_that_overlap_add() -> None:
    outer = Ellipsoid((0.0, 0.0, 0.0), (40.0, 40.0, 40.0), np.eye(3), 0.05)
    inner = Ellipsoid((0.0, 0.0, 0.0), (30.0, 30.0, 30.0), np.eye(3), -0.03)
    shell = Compound((outer, inner))
    np.testing.assert_allclose(shell.density(np.array([[0.0, 0, 0], [35, 0, 0], [41, 0, 0]])), [0.02, 0.05, 0.0])
    through = shell.integrals(np.array([-500.0, 0, 0]), np.array([[500.0, 0, 0]]))
    np.testing.assert_allclose(through, [80 * 0.05 - 60 * 0.03])


@pytest.mark.parametrize(
    ("phantom", "finer"), [(smooth_phantom(), 1), (smooth_phantom(), 2), (head_of_ellipsoids(), 3), (rotated_box(), 3)]
)
@pytest.mark.parametrize("spacing", [(3.6, 3.6, 3.6), (4.0, 3.0, 3.5)])
def test_voxels_keep_the_mass(phantom: Compound, finer: int, spacing: tuple[float, float, float]) -> None:
    shape = tuple(round(230.4 / edge) for edge in spacing)
    voxels = voxelised(phantom, (shape[0], shape[1], shape[2]), spacing, finer)
    assert voxels.dtype == np.float32
    assert voxels.flags.c_contiguous
    total = voxels.sum(dtype=np.float64) * np.prod(spacing)
    assert total == pytest.approx(phantom.mass, rel=5e-3)


@pytest.mark.parametrize("phantom", [smooth_phantom(), head_of_ellipsoids(), rotated_box()])
def test_sub_sampling_at_surfaces_only_equals_sub_sampling_everywhere(phantom: Compound) -> None:
    finer, shape, spacing = 3, (25, 30, 20), (9.0, 7.5, 11.0)
    z, y, x = (((np.arange(n * finer) + 0.5) / finer - n / 2) * d for n, d in zip(shape, spacing, strict=True))
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    fine = phantom.density(points).reshape(shape[0], finer, shape[1], finer, shape[2], finer)
    found = voxelised(phantom, shape, spacing, finer)
    np.testing.assert_allclose(found, fine.mean(axis=(1, 3, 5)), rtol=0, atol=1e-7)


def test_the_brightest_voxel_lies_at_the_body_in_lps() -> None:
    shape, spacing = (40, 50, 60), (4.0, 3.0, 2.0)
    left, posterior, superior = 31.0, 16.5, 46.0
    phantom = Compound((Gaussian((left, posterior, superior), (6.0, 6.0, 6.0), np.eye(3), 0.02),))
    voxels = voxelised(phantom, shape, spacing, 1)
    k, j, i = np.unravel_index(voxels.argmax(), shape)
    centre = [(n - (cells - 1) / 2) * d for n, cells, d in zip((i, j, k), shape[::-1], spacing[::-1], strict=True)]
    assert centre == [left, posterior, superior]
    assert voxels[k, j, i] == pytest.approx(0.02)


def test_the_lesion_is_on_the_left_and_the_eyes_look_forward() -> None:
    density = head_of_ellipsoids().density
    assert density(np.array([45.0, 25, 40])) > density(np.array([-45.0, 25, 40])) + 0.015
    assert density(np.array([33.0, -64, -24])) > density(np.array([33.0, 70, -24])) + 0.005


def test_phantoms_fit_their_volumes() -> None:
    axis = np.linspace(-115.2, 115.2, 65)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    smooth = smooth_phantom().density(cube)
    face = np.abs(cube).max(axis=-1) >= 115
    assert smooth[face].max() < 1e-5 * smooth.max()
    head = head_of_ellipsoids()
    assert head.density(cube).min() >= -1e-15
    bounds = np.array([body.bounds_mm for body in head.bodies])
    assert np.abs(bounds).max() <= 105
    assert np.abs(np.array(rotated_box().bodies[0].bounds_mm)).max() <= 105


@pytest.mark.parametrize("phantom", [smooth_phantom(), head_of_ellipsoids(), rotated_box()])
def test_phantoms_have_no_mirror_symmetry(phantom: Compound) -> None:
    points = np.random.default_rng(3).uniform(-60, 60, (4000, 3))
    here = phantom.density(points)
    for axis in range(3):
        mirrored = points.copy()
        mirrored[:, axis] *= -1
        assert np.abs(phantom.density(mirrored) - here).max() > 0.003


def test_integrals_follow_a_pixel_grid() -> None:
    geometry = Geometry(detector_shape=(12, 16), pixel_mm=20.0)
    for rays in view_rays(geometry):
        integrals = rotated_box().integrals(rays.source_mm, rays.pixels_mm)
        assert integrals.shape == (12, 16)
        flat = rotated_box().integrals(rays.source_mm, rays.pixels_mm.reshape(-1, 3))
        np.testing.assert_array_equal(integrals.ravel(), flat)
