from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.projection.phantoms import smooth_phantom, voxelised
from benchmarks.projection.scene import view_rays
from common.attenuation import hu_to_mu
from common.errors import ExitCode, Refusal
from common.geometry import FrontalView, Geometry, Grid, LateralView, Pose
from common.projection import Placement, Projector, native_projection

Tracer = Callable[[np.ndarray, tuple[float, float, float], Geometry], np.ndarray]
WATER = 0.0192
TURNED = Pose(pitch_deg=-20, roll_deg=10, yaw_deg=-8, translation_mm=(6.0, -8.0, 5.0))
VIEWS = [(frontal, lateral) for frontal in FrontalView for lateral in LateralView]


def scene(pose: Pose = TURNED, shape: tuple[int, int] = (40, 48), pixel_mm: float = 8.0, **more: object) -> Geometry:
    chosen = {"detector_shape": shape, "pixel_mm": pixel_mm, "frontal_pose": pose, "lateral_pose": pose}
    return Geometry.model_validate(chosen | more)


def random_hu(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    hu = np.random.default_rng(seed).integers(-1500, 2500, shape).astype(np.int16)
    hu[:, : shape[1] // 4] = -1024
    hu[:, :, -shape[2] // 3 :] = -3024
    return hu


@pytest.mark.parametrize("views", VIEWS)
def test_native_sweep_equals_a_plain_ray_tracer(views: tuple[FrontalView, LateralView], traced: Tracer) -> None:
    spacing, hu = (9.0, 5.0, 6.0), random_hu((12, 20, 18))
    shifted = Pose(translation_mm=(3.0, -4.0, 5.0))
    geometry = scene(shifted, (9, 12), 18.0, frontal=views[0], lateral=views[1], frontal_offset_mm=(4.0, -7.0))
    expected = traced(np.maximum(hu, -1000) * (WATER / 1000) + WATER, spacing, geometry)
    found = native_projection(hu, Placement.centred(hu.shape, spacing), geometry, WATER)
    np.testing.assert_allclose(found, expected, atol=2e-6 * expected.max())


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(2, 70)] * 3),
    detector=st.tuples(*[st.integers(8, 75)] * 2),
    pixel_mm=st.floats(2.0, 12.0),
    pose=st.sampled_from([Pose(), Pose(translation_mm=(9.0, 5.0, -7.0)), TURNED, Pose(roll_deg=25.0)]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_native_sweep_equals_the_differentiable_one_for_any_size(
    shape: tuple[int, int, int],
    detector: tuple[int, int],
    pixel_mm: float,
    pose: Pose,
    threads: int,
    seed: int,
) -> None:
    shape = (max(shape[0], 8), max(shape[1], 8), max(shape[2], 8))
    hu = np.random.default_rng(seed).integers(-1500, 2500, shape).astype(np.int16)
    geometry = scene(pose, detector, pixel_mm)
    mu = hu_to_mu(torch.from_numpy(hu).float(), WATER)[None, None]
    expected = Projector(Grid(shape=shape, voxel_mm=2.0), geometry).double()(mu.double())[0].numpy()
    found = native_projection(hu, Placement.centred(shape, (2.0, 2.0, 2.0)), geometry, WATER, threads=threads)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(expected.max(), 0.1))


@pytest.mark.parametrize("pose", [Pose(), TURNED])
def test_a_sheared_volume_of_a_tilted_gantry_is_seen_straight(pose: Pose) -> None:
    """Slices that slide posteriorly as they rise, 20 degrees, hold the same phantom as straight ones."""
    shape, spacing = (72, 96, 80), (3.0, 2.4, 2.8)
    straight = Placement.centred(shape, spacing)
    steps = straight.steps_mm.copy()
    steps[0] = (0.0, spacing[0] * math.tan(math.radians(20)), spacing[0])
    sheared = Placement(-0.5 * (np.array(shape) - 1) @ steps, steps)
    z, y, x = (np.arange(cells)[:, None] for cells in shape)
    points = (
        sheared.first_mm + (z * steps[0])[:, None, None] + (y * steps[1])[None, :, None] + (x * steps[2])[None, None]
    )
    hu = (smooth_phantom().density(points) / WATER * 1000 - 1000).astype(np.float32)
    geometry = scene(pose, (64, 64), 6.0)
    exact = np.stack([smooth_phantom().integrals(view.source_mm, view.pixels_mm) for view in view_rays(geometry)])
    error = (native_projection(hu, sheared, geometry, WATER) - exact) / exact.max()
    assert np.sqrt(np.mean(error**2)) < 2e-4
    assert np.abs(error).max() < 2e-3


@pytest.mark.parametrize(("pose", "tolerance"), [(Pose(), 1e-5), (TURNED, 5e-3)])
def test_axes_that_run_the_other_way_give_the_same_radiographs(pose: Pose, tolerance: float) -> None:
    spacing, shape = (3.6, 3.0, 3.2), (64, 76, 72)
    hu = (voxelised(smooth_phantom(), shape, spacing, 1) / WATER * 1000 - 1000).astype(np.float32)
    placement = Placement.centred(shape, spacing)
    expected = native_projection(hu, placement, scene(pose), WATER)
    turned_round = Placement(-placement.first_mm, -placement.steps_mm)
    found = native_projection(np.ascontiguousarray(hu[::-1, ::-1, ::-1]), turned_round, scene(pose), WATER)
    np.testing.assert_allclose(found, expected, atol=tolerance * expected.max())


def test_whole_numbers_and_floats_agree_and_metal_is_not_cut() -> None:
    hu = random_hu((16, 20, 24))
    hu[8, 10, 12] = 32767
    placement = Placement.centred(hu.shape, (4.0, 4.0, 4.0))
    whole = native_projection(hu, placement, scene(), WATER)
    found = native_projection(hu.astype(np.float32), placement, scene(), WATER)
    np.testing.assert_allclose(found, whole, atol=1e-5 * whole.max())
    hu[8, 10, 12] = 3071
    assert whole.max() > 1.4 * native_projection(hu, placement, scene(), WATER).max()


def test_threads_do_not_change_a_bit() -> None:
    hu, placement = random_hu((40, 48, 56)), Placement.centred((40, 48, 56), (3.0, 3.0, 3.0))
    one = native_projection(hu, placement, scene(), WATER)
    assert np.array_equal(one, native_projection(hu, placement, scene(), WATER, threads=5))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("background", [-1000.0, 40.0])
def test_voxels_that_are_not_finite_are_refused(value: float, background: float) -> None:
    hu = np.full((16, 16, 16), background, np.float32)
    hu[7, 8, 8] = value
    hu[8, 8, 8] = 40.0
    with pytest.raises(Refusal, match="NaN or infinite") as refusal:
        native_projection(hu, Placement.centred(hu.shape, (8.0, 8.0, 8.0)), scene(Pose(), pixel_mm=2.0), WATER)
    assert refusal.value.code is ExitCode.IMAGE_INVALID


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hu": np.zeros((16, 16, 16))}, "int16 or float32"),
        ({"hu": np.zeros((16, 16, 32), np.int16)[:, :, ::2]}, "C order"),
        ({"hu": np.zeros((1, 16, 16), np.int16)}, "shape"),
        ({"hu": np.full((16, 16, 16), -1000, np.int16)}, "anything but air"),
        ({"geometry": scene(frontal_offset_mm=(0.0, 900.0))}, "frontal view meets"),
        ({"geometry": scene(lateral_offset_mm=(900.0, 0.0))}, "lateral view meets"),
        ({"geometry": scene(source_patient_mm=40.0)}, "inside the volume"),
        ({"placement": Placement(np.full(3, math.nan), np.eye(3))}, "not finite"),
        ({"placement": Placement(np.zeros(3), np.zeros((3, 3)))}, "degenerate"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_input_is_refused_in_one_line(change: dict[str, object], message: str) -> None:
    hu = change.get("hu", np.full((16, 16, 16), 40, np.int16))
    placement = change.get("placement", Placement.centred((16, 16, 16), (8.0, 8.0, 8.0)))
    with pytest.raises(Refusal, match=message) as refusal:
        native_projection(
            hu,
            placement,
            change.get("geometry", scene()),
            WATER,
            threads=change.get("threads", 1),
        )
    assert refusal.value.code is ExitCode.GEOMETRY_INVALID
    assert "\n" not in str(refusal.value)
