import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.phantom.anatomy import (
    HIGHEST_HU,
    LOWEST_HU,
    anatomical_coordinates,
    procedural_head,
    rotation_matrix,
    template_head,
)
from client.phantom.head_plan import HeadPlan
from client.phantom.shapes import Arch, Canvas, Ellipsoid, Field, Plate, Rod, Shape, coverage, smooth_union
from common.geometry import Grid

COARSE = Grid(shape=(48, 48, 48), voxel_mm=4.8)
BONE_HU = 300


def index_of(grid: Grid, x_mm: float, y_mm: float, z_mm: float) -> tuple[int, int, int]:
    centre = [(n - 1) / 2 for n in grid.shape]
    return tuple(round(c + mm / grid.voxel_mm) for c, mm in zip(centre, (z_mm, y_mm, x_mm), strict=True))


def test_equal_seeds_give_equal_heads_and_other_seeds_other_heads() -> None:
    assert np.array_equal(procedural_head(3, COARSE), procedural_head(3, COARSE))
    assert not np.array_equal(procedural_head(3, COARSE), procedural_head(4, COARSE))


def test_a_head_is_int16_in_hounsfield_range_with_air_around_it() -> None:
    head = procedural_head(5, COARSE)
    assert head.dtype == np.int16
    assert head.shape == COARSE.shape
    assert head.min() >= LOWEST_HU
    assert head.max() <= HIGHEST_HU
    assert np.all(head[-1] == -1000)
    assert np.all(head[:, :, 0] == -1000)


def test_nose_lies_anterior_and_vertex_superior_in_lps_order() -> None:
    grid = Grid(shape=(128, 128, 128), voxel_mm=1.8)
    head = template_head(grid)
    assert head[index_of(grid, 0.0, -105.0, -30.0)] > -700, "nose tip: soft tissue at negative y"
    assert head[index_of(grid, 0.0, 105.0, -30.0)] == -1000, "nothing so far behind the nape"
    assert head[index_of(grid, 0.0, 10.0, 94.0)] > BONE_HU, "vault at positive z"
    assert head[index_of(grid, 30.0, -57.0, -30.0)] < -900, "air in the maxillary sinus"
    assert 20 < head[index_of(grid, 30.0, 10.0, 60.0)] < 50, "brain"
    assert head[index_of(grid, 30.0, 14.0, -11.0)] > 900, "petrous bone"
    assert head[index_of(grid, 0.0, -82.0, -66.0)] > 1500, "incisors"


def test_the_average_head_is_symmetric_and_a_drawn_head_is_not() -> None:
    average = template_head(COARSE).astype(np.int32)
    assert np.abs(average - average[:, :, ::-1]).max() <= 10, "painting order shows at the midline alone"
    drawn = procedural_head(11, COARSE).astype(np.int32)
    assert np.mean(np.abs(drawn - drawn[:, :, ::-1]) > 50) > 0.05


def test_heads_differ_by_millimetres_so_that_their_mean_is_a_poor_prediction() -> None:
    grid = Grid(shape=(32, 32, 32), voxel_mm=7.2)
    heads = np.clip(np.stack([procedural_head(seed, grid) for seed in range(24)]), -1000, 1500).astype(np.float64)
    mean = heads[:16].mean(axis=0)
    psnr_db = np.mean([20 * np.log10(2500 / np.sqrt(np.mean((head - mean) ** 2))) for head in heads[16:]])
    assert psnr_db < 24.0


def test_bone_boundaries_spread_by_several_millimetres() -> None:
    grid = Grid(shape=(8, 160, 160), voxel_mm=1.5)
    edges_mm = []
    for seed in range(16):
        bone = procedural_head(seed, grid)[6] > BONE_HU
        edges_mm.append((np.argmax(bone[:, 80]) * 1.5, np.argmax(bone[90]) * 1.5))
    assert np.all(np.std(edges_mm, axis=0) > 2.0)
    assert np.all(np.std(edges_mm, axis=0) < 15.0)


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0, max_value=2**62))
def test_no_seed_folds_the_head(seed: int) -> None:
    plan = HeadPlan.drawn(seed)
    grid = Grid(shape=(12, 12, 12), voxel_mm=20.0)
    gradients = [np.gradient(field, 20.0) for field in anatomical_coordinates(plan, grid)]
    assert np.linalg.det(np.moveaxis(np.array(gradients)[:, ::-1], (0, 1), (-2, -1))).min() > 0.3
    # Derivatives whose row sums stay below one cannot fold between the samples either.
    total = np.zeros((3, 3))
    for wave in plan.waves:
        total[wave.axis] += np.abs(wave.amplitude_mm) * np.array(wave.per_mm)
    assert total.sum(axis=1).max() < 0.6
    assert all(0.92 < s < 1.08 for s in plan.scale)
    assert plan.skull_mm > 3.0
    assert 0.85 <= plan.bone <= 1.15


def test_bone_density_scales_with_the_plan() -> None:
    brightest = {
        seed: float(np.percentile(procedural_head(seed, COARSE), 99.5)) / HeadPlan.drawn(seed).bone for seed in range(6)
    }
    assert max(brightest.values()) / min(brightest.values()) < 1.3


def test_a_head_costs_little_at_full_size() -> None:
    grid = Grid(shape=(128, 128, 128), voxel_mm=1.8)
    start = time.process_time()
    procedural_head(1, grid)
    assert time.process_time() - start < 2.5


def test_rotation_turns_about_x_then_y_then_z() -> None:
    assert np.allclose(rotation_matrix((90.0, 0.0, 0.0)) @ [0, 1, 0], [0, 0, 1])
    assert np.allclose(rotation_matrix((0.0, 90.0, 0.0)) @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(rotation_matrix((0.0, 0.0, 90.0)) @ [1, 0, 0], [0, 1, 0])
    assert np.allclose(rotation_matrix((90.0, 0.0, 90.0)) @ [0, 0, 1], [1, 0, 0])


SHAPES: tuple[Shape, ...] = (
    Ellipsoid((1.0, -2.0, 3.0), (8.0, 5.0, 6.0)),
    Rod((-5.0, 0.0, 0.0), (6.0, 4.0, 2.0), 2.0, 4.0),
    Plate((0.0, 1.0, 0.0), (5.0, 4.0, 7.0), 2.0, (0.2, -0.3)),
    Arch(-9.0, 0.1, 2.0, (-6.0, 0.1), (5.0, 0.0), 8.0),
)


def lattice() -> tuple[Field, Field, Field]:
    axis = np.arange(-20.0, 20.5, 0.5, dtype=np.float32)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return x, y, z


@pytest.mark.parametrize("shape", SHAPES)
def test_a_solid_stays_inside_its_bounds(shape: Shape) -> None:
    x, y, z = lattice()
    inside = shape.distance(x, y, z) < 0
    low, high = shape.bounds()
    assert inside.sum() > 200
    for axis, least, greatest in zip((x, y, z), low, high, strict=True):
        assert axis[inside].min() >= least - 0.5
        assert axis[inside].max() <= greatest + 0.5


def test_ellipsoid_and_rod_enclose_their_volume() -> None:
    x, y, z = lattice()
    ellipsoid = coverage(SHAPES[0].distance(x, y, z), 0.5).sum() * 0.125
    assert ellipsoid == pytest.approx(4 / 3 * np.pi * 8 * 5 * 6, rel=0.02)
    rod = coverage(Rod((-6.0, 0.0, 0.0), (6.0, 0.0, 0.0), 4.0, 4.0).distance(x, y, z), 0.5).sum() * 0.125
    assert rod == pytest.approx(np.pi * 16 * 12 + 4 / 3 * np.pi * 64, rel=0.02)


def test_smooth_union_keeps_both_solids_and_adds_only_a_fillet() -> None:
    x, y, z = lattice()
    first, second = SHAPES[0].distance(x, y, z), SHAPES[1].distance(x, y, z)
    joined = smooth_union(first, second, 3.0)
    sharp = np.minimum(first, second)
    assert np.all(joined <= sharp + 1e-5)
    assert np.all(joined >= sharp - 3.0 / 4 - 1e-5)


def test_painting_by_box_equals_painting_every_voxel() -> None:
    x, y, z = lattice()
    for shape in SHAPES:
        canvas = Canvas(x, y, z, edge_mm=0.5, background_hu=-1000.0)
        canvas.paint(shape, 700.0)
        everywhere = -1000.0 + 1700.0 * coverage(shape.distance(x, y, z), 0.5)
        assert np.allclose(canvas.hu, everywhere, atol=1e-2)
