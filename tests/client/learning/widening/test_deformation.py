from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from client.learning.widening.deformation import deformed, source_places
from client.learning.widening.plan import BRAIN_CENTRE_MM, Plan, draw_plans
from common.geometry import Geometry, Grid, Pose
from common.study import Widening

MakePlan = Callable[..., Plan]
GRID = Grid(shape=(40, 44, 42), voxel_mm=5.0)
GEOMETRY = Geometry(detector_shape=(16, 16), pixel_mm=24.0)
CPU = torch.device("cpu")


def blob(x: float, y: float, z: float, sd_mm: float = 12.0) -> Tensor:
    """(1, 1, z, y, x), 1000 HU above air at a place."""
    zs, ys, xs = (torch.from_numpy(GRID.centres_mm(axis)) for axis in range(3))
    squared = (zs - z)[:, None, None] ** 2 + (ys - y)[:, None] ** 2 + (xs - x) ** 2
    return (torch.exp(-0.5 * squared / sd_mm**2) * 1000 - 1000).float()[None, None]


def middle_mm(volume_hu: Tensor) -> list[float]:
    """Centre of mass above air as x, y, z."""
    mass = (volume_hu[0, 0] + 1000).double()
    axes = [torch.from_numpy(GRID.centres_mm(axis)) for axis in range(3)]
    sums = [mass.sum(dim=[other for other in range(3) if other != axis]) for axis in range(3)]
    z, y, x = (float((axis * part).sum() / part.sum()) for axis, part in zip(axes, sums, strict=True))
    return [x, y, z]


def least_jacobian(plan: Plan) -> float:
    """Least determinant of the map's Jacobian by differences, the mirror's sign taken out."""
    reach = torch.tensor([(n - 1) / 2 for n in reversed(GRID.shape)], dtype=torch.float64)
    place = source_places(plan, GRID, CPU).double() * reach
    corner = place[:-1, :-1, :-1]
    along_x, along_y, along_z = (
        part - corner for part in (place[:-1, :-1, 1:], place[:-1, 1:, :-1], place[1:, :-1, :-1])
    )
    determinant = (torch.linalg.cross(along_x, along_y) * along_z).sum(dim=-1)
    return float((-determinant if plan.flipped else determinant).min())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(min_value=0, max_value=2**62))
def test_no_draw_folds_space_even_at_the_greatest_strengths(strongest: dict[str, float], seed: int) -> None:
    widening = Widening.model_validate(strongest)
    (plan,) = draw_plans(widening, GEOMETRY, 1, torch.Generator().manual_seed(seed))
    assert least_jacobian(plan) > 0


def test_a_fold_would_be_seen(plan: MakePlan) -> None:
    assert least_jacobian(plan(ventricles=0.2)) < 0


def test_no_change_leaves_the_head_as_it_was(plan: MakePlan) -> None:
    head = blob(20, -30, 25)
    assert torch.allclose(deformed(head, GRID, [plan()]), head, atol=0.05)


def test_a_mirror_image_exchanges_left_and_right_alone(plan: MakePlan) -> None:
    head = blob(20, -30, 25)
    assert torch.allclose(deformed(head, GRID, [plan(flipped=True)]), head.flip(-1), atol=0.05)


def test_a_move_goes_towards_left_posterior_and_superior(plan: MakePlan) -> None:
    moved = middle_mm(deformed(blob(20, -30, 25), GRID, [plan(shift_mm=(4.0, -7.0, 9.0))]))
    assert moved == pytest.approx([24.0, -37.0, 34.0], abs=0.05)


@pytest.mark.parametrize("angles", [(9.0, 0.0, 0.0), (0.0, 9.0, 0.0), (0.0, 0.0, 9.0), (4.0, -6.0, 8.0)])
def test_a_turn_is_that_of_a_pose(plan: MakePlan, angles: tuple[float, float, float]) -> None:
    turned = middle_mm(deformed(blob(30, -30, 25), GRID, [plan(rotation_deg=angles)]))
    pose = Pose(pitch_deg=angles[0], roll_deg=angles[1], yaw_deg=angles[2])
    assert turned == pytest.approx(list(pose.rotation @ [30.0, -30.0, 25.0]), abs=0.1)


def test_sizes_change_along_their_own_axes(plan: MakePlan) -> None:
    larger = middle_mm(deformed(blob(30, -30, 25), GRID, [plan(scale=(1.1, 0.9, 1.2))]))
    assert larger == pytest.approx([33.0, -27.0, 30.0], abs=0.1)


def test_a_displacement_is_smooth_and_reaches_its_peak(plan: MakePlan) -> None:
    reach = torch.tensor([(n - 1) / 2 * GRID.voxel_mm for n in reversed(GRID.shape)])
    peaks = []
    for seed in range(12):
        still, moved = plan(), plan(displacement_mm=4.0, seed=seed)
        away = (source_places(moved, GRID, CPU) - source_places(still, GRID, CPU)) * reach
        peaks.append(float(away.square().sum(dim=-1).max().sqrt()))
        assert float((away[1:] - away[:-1]).abs().max()) < 0.3 * GRID.voxel_mm
    assert min(peaks) > 3.5
    assert max(peaks) < 5.0


def test_ventricles_grow_and_shrink_and_the_skull_stays(plan: MakePlan) -> None:
    x, y, z = BRAIN_CENTRE_MM
    head = blob(x, y, z, sd_mm=10.0)

    def mass(volume_hu: Tensor) -> float:
        return float((volume_hu + 1000).sum())

    larger, smaller = (deformed(head, GRID, [plan(ventricles=size)]) for size in (1.3, 0.7))
    assert mass(larger) > 1.6 * mass(head)
    assert mass(smaller) < 0.5 * mass(head)
    places, still = source_places(plan(ventricles=1.5), GRID, CPU), source_places(plan(), GRID, CPU)
    assert torch.equal(places[-1], still[-1])
    assert torch.equal(places[:, :3], still[:, :3])


def test_each_case_of_a_batch_gets_its_own_plan(plan: MakePlan) -> None:
    head = blob(20, -30, 25)
    both = deformed(head.expand(2, -1, -1, -1, -1), GRID, [plan(), plan(shift_mm=(10.0, 0.0, 0.0))])
    assert middle_mm(both[:1])[0] == pytest.approx(20.0, abs=0.05)
    assert middle_mm(both[1:])[0] == pytest.approx(30.0, abs=0.05)
