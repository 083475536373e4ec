from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from client.learning.widening.plan import Plan, draw_plans
from common.geometry import Geometry, Pose
from common.study import Widening

GEOMETRY = Geometry(detector_shape=(16, 16), pixel_mm=24.0)


def draw(count: int = 1, **strengths: float) -> list[Plan]:
    return draw_plans(Widening(**strengths), GEOMETRY, count, torch.Generator().manual_seed(11))


def test_equal_seeds_give_equal_plans(strongest: dict[str, float]) -> None:
    assert draw(5, **strongest) == draw(5, **strongest)


def test_nothing_changes_while_every_strength_is_zero() -> None:
    (plan,) = draw()
    assert (plan.flipped, plan.finding, plan.cut) == (False, None, None)
    assert plan.scale == (1.0, 1.0, 1.0)
    assert plan.rotation_deg == plan.shift_mm == (0.0, 0.0, 0.0)
    assert (plan.displacement_mm, plan.skull_mm, plan.kernel, plan.noise_hu) == (0.0, 0.0, 0.0, 0.0)
    assert plan.ventricles == plan.bone == 1.0
    assert plan.poses == (Pose(), Pose())


@pytest.mark.parametrize(
    ("strength", "fields"),
    [
        ("flip", {"flipped"}),
        ("displacement_mm", {"displacement_mm"}),
        ("scale", {"scale"}),
        ("rotation_deg", {"rotation_deg"}),
        ("shift_mm", {"shift_mm"}),
        ("ventricles", {"ventricles"}),
        ("skull_mm", {"skull_mm"}),
        ("bone", {"bone"}),
        ("lesions", {"finding"}),
        ("coverage", {"cut"}),
        ("kernel", {"kernel"}),
        ("noise_hu", {"noise_hu"}),
        ("pose_deg", {"poses"}),
        ("pose_mm", {"poses"}),
        ("distance_mm", {"poses"}),
    ],
)
def test_one_strength_changes_its_own_part_of_the_plan_alone(
    strongest: dict[str, float], strength: str, fields: set[str]
) -> None:
    still, changed = draw(), draw(**{strength: strongest[strength]})
    assert {name for name in vars(still[0]) if getattr(still[0], name) != getattr(changed[0], name)} == fields


def test_draws_stay_within_their_strengths() -> None:
    plans = draw(400, scale=0.07, bone=0.15, skull_mm=1.5, rotation_deg=4.0, pose_deg=1.0, displacement_mm=3.0)
    assert all(abs(size - 1) <= 0.07 for plan in plans for size in plan.scale)
    assert all(abs(plan.bone - 1) <= 0.15 and abs(plan.skull_mm) <= 1.5 for plan in plans)
    assert all(abs(angle) <= 10.0 for plan in plans for angle in plan.rotation_deg)
    assert all(1.5 <= plan.displacement_mm <= 3.0 for plan in plans)
    turns = torch.tensor([plan.rotation_deg for plan in plans])
    assert float(turns.std()) == pytest.approx(4.0, rel=0.1)


def test_a_wrong_distance_moves_the_patient_along_each_beam() -> None:
    (plan,) = draw(distance_mm=20.0)
    frontal, lateral = (pose.translation_mm for pose in plan.poses)
    assert frontal[1] != 0
    assert lateral[0] != 0
    assert frontal[::2] == (0.0, 0.0)
    assert lateral[1:] == (0.0, 0.0)


def test_probabilities_are_kept() -> None:
    plans = draw(1000, flip=0.5, lesions=0.2, coverage=0.4)
    assert sum(plan.flipped for plan in plans) / 1000 == pytest.approx(0.5, abs=0.05)
    assert sum(plan.finding is not None for plan in plans) / 1000 == pytest.approx(0.2, abs=0.04)
    assert sum(plan.cut is not None for plan in plans) / 1000 == pytest.approx(0.4, abs=0.05)


def test_any_strength_switches_widening_on_and_none_is_on_by_default(strongest: dict[str, float]) -> None:
    assert not Widening().is_on
    assert set(strongest) == set(Widening.model_fields)
    assert all(Widening(**{name: value}).is_on for name, value in strongest.items())


def test_strengths_beyond_which_space_could_fold_are_no_study(strongest: dict[str, float]) -> None:
    for name, value in strongest.items():
        for wrong in (value * 1.01, -0.001, float("nan")):
            with pytest.raises(ValidationError):
                Widening(**{name: wrong})
