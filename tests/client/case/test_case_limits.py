"""A limit that is shown is the limit by which series are judged: at it one is accepted, beyond it has the verdict."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from client.archive import VerdictCode
from client.case import limits_of
from client.case.acceptance import judge_alignment, judge_scale
from client.case.alignment import Alignment
from client.case.decoding import SliceStack
from client.case.placement import judge_placement, stated_tilt_deg
from client.case.stack_geometry import StackGeometry
from client.case.volume import Pose
from common.study import CohortSettings
from tests.client.tiny_cases import FACTS

SOUND = Alignment(Pose(np.eye(3), np.zeros(3)), 100.0, 0.0, 1.0, 0.98, 30.0, 0.98, 0.3, unsheared_share=0.9)
FITS = StackGeometry(0.0, 0.0, (0.0, 0.0), 0.0, 0.0)
STACK = SliceStack(
    np.zeros((2, 2, 2), np.float32), np.eye(2, 3), np.array([0.0, 1, 0]), np.array([1.0, 0, 0]), -1000.0, 1500.0
)
BEYOND = 1e-6


def limit_of(field, tilt_deg=0.0, stated_deg=0.0):
    facts = FACTS.model_copy(update={"tilt_deg": tilt_deg, "stated_tilt_deg": stated_deg})
    return limits_of(facts, CohortSettings())[field]


def sides(limit):
    return [(end, end + way) for end, way in ((limit.low, -BEYOND), (limit.high, BEYOND)) if np.isfinite(end)]


@pytest.mark.parametrize(
    "field", ["skull_share", "brain_seen_share", "brain_like_share", "brain_median_hu", "residual_hu", "cut_share"]
)
def test_the_pose_is_judged_by_the_limits_shown(field):
    limit = limit_of(field)
    for at, beyond in sides(limit):
        for value, verdict in ((at, VerdictCode.ACCEPTED), (beyond, limit.verdict)):
            if field == "cut_share":
                assert judge_alignment(SOUND, cut_share=value) is verdict
            else:
                assert judge_alignment(replace(SOUND, **{field: value})) is verdict


def test_the_scale_is_judged_by_the_limits_shown():
    limit = limit_of("air_hu")
    for at, beyond in sides(limit):
        assert judge_scale(replace(STACK, raw_low_hu=at)) is VerdictCode.ACCEPTED
        assert judge_scale(replace(STACK, raw_low_hu=beyond)) is limit.verdict
    wrapped = limit_of("wrapped_share")
    assert judge_scale(replace(STACK, wrapped_share=wrapped.high - BEYOND)) is VerdictCode.ACCEPTED
    assert judge_scale(replace(STACK, wrapped_share=wrapped.high)) is wrapped.verdict


@pytest.mark.parametrize(
    ("tilt_deg", "stated_deg"),
    [(0.0, None), (0.0, 0.0), (18.0, 18.0), (0.0, 4.0), (0.0, 9.0), (0.0, 20.0), (20.0, 0.0)],
)
@pytest.mark.parametrize("field", ["shear_deg", "slant_deg", "step_back_mm", "step_left_mm", "unseen_share"])
def test_the_placement_is_judged_by_the_limits_shown(field, tilt_deg, stated_deg):
    plan = SimpleNamespace(tilt_deg=tilt_deg, slices=[SimpleNamespace(tilt_deg=stated_deg)] * 3)
    limit = limit_of(field, tilt_deg, stated_tilt_deg(plan))

    def judged(value):
        changes = {"step_back_mm": {"step_mm": (value, 0.0)}, "step_left_mm": {"step_mm": (0.0, value)}}
        geometry = replace(FITS, **changes.get(field, {field: value}))
        return judge_placement(VerdictCode.ACCEPTED, geometry, plan, SOUND, STACK, ())

    for at, beyond in sides(limit):
        assert judged(at) is VerdictCode.ACCEPTED
        assert judged(beyond) is limit.verdict


def test_a_tilt_that_is_stated_alone_narrows_the_limit_of_a_lean():
    assert [limit_of("shear_deg", 0.0, stated).high for stated in (0.0, 4.0, 9.0, 20.0)] == [6.0, 3.5, 4.5, 6.0]
    assert limit_of("shear_deg", 18.0, 18.0).verdict is VerdictCode.TILT_CONTRADICTS


def test_the_scanned_length_is_held_against_the_study():
    assert limits_of(FACTS, CohortSettings(minimum_coverage_mm=140.0))["coverage_mm"].low == 140.0


def test_every_limit_is_one_of_a_figure_of_a_case():
    assert set(limits_of(FACTS, CohortSettings())) <= set(type(FACTS).model_fields)
