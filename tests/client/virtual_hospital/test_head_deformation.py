from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from client.phantom.anatomy import template_head
from client.virtual_hospital.head_deformation import PEAK_MM, Deformation, random_deformation
from common.geometry import Grid

SHAPE = (26, 30, 28)
VOXEL_MM = 8.0


def identity(shape: tuple[int, int, int] = SHAPE, **changes: object) -> Deformation:
    plain = Deformation(
        shape=shape,
        voxel_mm=VOXEL_MM,
        affine=np.eye(3),
        shift_mm=np.zeros(3),
        displacement_mm=np.zeros((3, 5, 6, 7)),
        flipped=False,
        bone=1.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def head() -> NDArray[np.int16]:
    return template_head(Grid(shape=SHAPE, voxel_mm=VOXEL_MM))


def minimum_jacobian(deformation: Deformation) -> float:
    """Least determinant of the dense map's Jacobian, by differences between neighbouring voxels.

    A mirror image turns every determinant's sign; here that sign is taken out, so the result is positive exactly where
    nothing folds, flipped or not.
    """
    source = deformation.source_mm()
    steps = [
        source[:, 1:, :-1, :-1] - source[:, :-1, :-1, :-1],
        source[:, :-1, 1:, :-1] - source[:, :-1, :-1, :-1],
        source[:, :-1, :-1, 1:] - source[:, :-1, :-1, :-1],
    ]
    along_z, along_y, along_x = (step / deformation.voxel_mm for step in steps)
    (ax, bx, cx), (ay, by, cy), (az, bz, cz) = along_x, along_y, along_z
    determinant = ax * (by * cz - cy * bz) - bx * (ay * cz - cy * az) + cx * (ay * bz - by * az)
    return float((-determinant if deformation.flipped else determinant).min())


@settings(max_examples=120, deadline=None)
@given(st.integers(min_value=0, max_value=2**62))
def test_no_seed_folds_space(seed: int) -> None:
    assert minimum_jacobian(random_deformation(seed, SHAPE, VOXEL_MM)) > 0.3


def test_a_fold_is_seen_with_and_without_a_mirror_image() -> None:
    gentle = random_deformation(4, SHAPE, VOXEL_MM)
    for flipped in (False, True):
        unfolded = replace(gentle, flipped=flipped)
        assert minimum_jacobian(unfolded) > 0
        assert minimum_jacobian(replace(unfolded, displacement_mm=gentle.displacement_mm * 60)) < 0


def test_jacobian_of_a_pure_scale_is_its_volume_factor() -> None:
    scaled = identity(affine=np.diag([1 / 1.05, 1 / 0.95, 1 / 1.02]))
    assert minimum_jacobian(scaled) == pytest.approx(1 / (1.05 * 0.95 * 1.02), rel=1e-4)
    assert minimum_jacobian(replace(scaled, flipped=True)) == pytest.approx(1 / (1.05 * 0.95 * 1.02), rel=1e-4)


def test_no_change_leaves_the_head_as_it_was() -> None:
    assert np.array_equal(identity().apply(head()), head())


def test_a_mirror_image_exchanges_left_and_right_alone() -> None:
    marked = head()
    marked[10:13, 8:11, 20:23] = 2000
    assert np.array_equal(identity(flipped=True).apply(marked), marked[:, :, ::-1])


def test_a_shift_moves_the_head_towards_left_posterior_and_superior() -> None:
    moved = identity(shift_mm=np.array([VOXEL_MM, 2 * VOXEL_MM, 3 * VOXEL_MM])).apply(head())
    assert np.array_equal(moved[3:, 2:, 1:], head()[:-3, :-2, :-1])


def test_a_larger_head_is_larger() -> None:
    larger = identity(affine=np.eye(3) / 1.07).apply(head())
    assert np.sum(larger > -500) > 1.1 * np.sum(head() > -500)


def test_the_displacement_peaks_at_its_measure() -> None:
    drawn = random_deformation(3, SHAPE, VOXEL_MM)
    still = replace(drawn, displacement_mm=drawn.displacement_mm * 0)
    length_mm = np.sqrt(np.square(drawn.source_mm() - still.source_mm()).sum(axis=0))
    assert length_mm.max() == pytest.approx(PEAK_MM, rel=1e-3)
    assert length_mm.mean() > 0.2 * PEAK_MM


def test_the_dense_map_equals_the_spline_summed_knot_by_knot() -> None:
    drawn = replace(random_deformation(8, SHAPE, VOXEL_MM), flipped=False)
    source = drawn.source_mm()

    def weight(distance: float) -> float:
        if abs(distance) >= 2:
            return 0.0
        near = abs(distance) < 1
        return 2 / 3 - distance**2 + abs(distance) ** 3 / 2 if near else (2 - abs(distance)) ** 3 / 6

    rng = np.random.default_rng(0)
    for index in rng.integers(0, SHAPE, (12, 3)):
        target = (index - (np.array(SHAPE) - 1) / 2)[::-1] * VOXEL_MM
        expected = drawn.affine @ (target - drawn.shift_mm)
        places = [i / (n - 1) * (k - 3) for i, n, k in zip(index, SHAPE, drawn.displacement_mm.shape[1:], strict=True)]
        for knot in np.ndindex(*drawn.displacement_mm.shape[1:]):
            share = np.prod([weight(p - (k - 1)) for p, k in zip(places, knot, strict=True)])
            expected = expected + drawn.displacement_mm[(slice(None), *knot)] * share
        assert np.allclose(source[(slice(None), *index)], expected, atol=1e-3)


def test_filling_equals_plain_trilinear_interpolation() -> None:
    drawn = replace(random_deformation(21, SHAPE, VOXEL_MM), bone=1.0)
    x, y, z = drawn.source_mm()
    index = [axis / VOXEL_MM + (n - 1) / 2 for axis, n in zip((z, y, x), SHAPE, strict=True)]
    plain = ndimage.map_coordinates(head().astype(np.float64) + 1000, index, order=1, mode="grid-constant") - 1000
    assert np.abs(drawn.apply(head()) - plain).max() <= 1.0


def test_bone_density_leaves_soft_tissue_alone() -> None:
    volume = np.full(SHAPE, 40, dtype=np.int16)
    volume[:, :, :14] = 1000
    dense = identity(bone=1.15).apply(volume)
    assert np.all(dense[:, :, 14:] == 40)
    assert np.all(dense[:, :, :14] == 1150)


def test_equal_seeds_give_equal_heads_and_other_seeds_other_ones() -> None:
    first, again, other = (random_deformation(seed, SHAPE, VOXEL_MM).apply(head()) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_both_mirror_images_and_the_whole_range_of_density_occur() -> None:
    drawn = [random_deformation(seed, SHAPE, VOXEL_MM) for seed in range(40)]
    assert 8 < sum(d.flipped for d in drawn) < 32
    bone = [d.bone for d in drawn]
    assert 0.85 <= min(bone) < 0.9
    assert 1.1 < max(bone) <= 1.15


def test_a_volume_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        identity().apply(np.zeros((4, 4, 4), dtype=np.int16))
