"""What a reply may say at its bounds, one field changed at a time from a reply that can be true."""

from __future__ import annotations

from typing import Any

import pytest

from common.exchange import (
    CohortFlow,
    EvaluateReply,
    MethodStatistics,
    MetricSums,
    RegisterReply,
    Role,
    TrainLosses,
    TrainReply,
)
from common.plausibility import fault_of
from common.study import Optimisation, Study

LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2, adversarial=0.1, discriminator=0.3)


def _register(study: Study, flow: CohortFlow, **change: Any) -> RegisterReply:
    whole = RegisterReply(
        study_sha256=study.sha256, run="r", role=Role.TRAIN, train_cases=4, evaluation_cases=1, flow=flow,
        release="0.1.0", device="cpu",
    )  # fmt: skip
    return whole.model_copy(update=change)


def _train(study: Study, **change: Any) -> TrainReply:
    whole = TrainReply(
        study_sha256=study.sha256, run="r", round=1, cases=4, steps=40, skipped_steps=0, seconds=1.0, losses=LOSSES
    )
    return whole.model_copy(update=change)


def _sums(cases: int, value: float) -> MetricSums:
    return MetricSums(cases=cases, total=cases * value, total_of_squares=cases * value * value)


def _evaluate(study: Study, *methods: MethodStatistics, **change: Any) -> EvaluateReply:
    whole = EvaluateReply(
        study_sha256=study.sha256, run="r", round=1, cases=5, suppressed=False, seconds=1.0, methods=methods
    )
    return whole.model_copy(update=change)


def _method(name: str = "generator", **metrics: MetricSums) -> MethodStatistics:
    return MethodStatistics(method=name, metrics=metrics or {"psnr_db": _sums(5, 20.0)})


def _what(reply: Any, study: Study) -> str:
    fault = fault_of(reply, study)
    return "" if fault is None else fault.what


def test_series_found_are_excluded_or_used(study: Study) -> None:
    def flow(found: int) -> CohortFlow:
        return CohortFlow(found=found, eligible=6, used=5, excluded={"not_ct": 2, "too_thick": 1})

    assert _what(_register(study, flow(8)), study) == ""
    for found in (7, 9):
        assert "3 excluded and 5 used" in _what(_register(study, flow(found)), study)


@pytest.mark.parametrize(("train", "fault"), [(3, True), (4, False), (5, True)])
def test_cases_used_train_or_evaluate(study: Study, train: int, fault: bool) -> None:
    flow = CohortFlow(found=5, eligible=5, used=5)
    assert bool(_what(_register(study, flow, train_cases=train), study)) == fault


def test_a_verdict_of_a_sites_own_is_no_verdict(study: Study) -> None:
    flow = CohortFlow(found=6, eligible=5, used=5, excluded={"smith-jane": 1})
    fault = fault_of(_register(study, flow), study)
    assert fault is not None
    assert "smith" not in fault.what + fault.where


@pytest.mark.parametrize(("steps", "fault"), [(0, True), (39, True), (40, False), (41, True)])
def test_steps_are_those_that_the_study_asks_for(study: Study, steps: int, fault: bool) -> None:
    assert bool(_what(_train(study, steps=steps), study)) == fault


@pytest.mark.parametrize(("skipped", "fault"), [(3, False), (4, True)])
def test_no_more_steps_are_skipped_than_the_study_bears(study: Study, skipped: int, fault: bool) -> None:
    assert bool(_what(_train(study, skipped_steps=skipped), study)) == fault


@pytest.mark.parametrize(("cases", "fault"), [(0, True), (1, False)])
def test_training_is_on_cases(study: Study, cases: int, fault: bool) -> None:
    assert bool(_what(_train(study, cases=cases), study)) == fault


@pytest.mark.parametrize("name", TrainLosses.model_fields)
@pytest.mark.parametrize(("value", "fault"), [(0.0, False), (1e6, False), (1.1e6, True), (-1e-9, True), (1e12, True)])
def test_losses_lie_inside_their_bounds(study: Study, name: str, value: float, fault: bool) -> None:
    losses = LOSSES.model_copy(update={name: value})
    assert bool(_what(_train(study, losses=losses), study)) == fault


def test_only_losses_that_can_be_negative_may_be(study: Study) -> None:
    hinge = study.model_copy(update={"optimisation": Optimisation(adversarial_loss="hinge")})
    for name, fault in {"adversarial": False, "generator": False, "discriminator": True, "reprojection": True}.items():
        losses = LOSSES.model_copy(update={name: -1.0})
        assert bool(_what(_train(hinge, losses=losses), hinge)) == fault


def test_a_game_that_is_not_played_has_no_losses(study: Study) -> None:
    alone = study.model_copy(update={"optimisation": Optimisation(adversarial_weight=0)})
    assert "game" in _what(_train(alone), alone)
    quiet = LOSSES.model_copy(update={"adversarial": None, "discriminator": None})
    assert _what(_train(alone, losses=quiet), alone) == ""


@pytest.mark.parametrize(("cases", "fault"), [(2, True), (3, False), (5, False), (6, True)])
def test_statistics_cover_at_least_the_minimum_and_at_most_all_cases(study: Study, cases: int, fault: bool) -> None:
    found = _what(_evaluate(study, _method(psnr_db=_sums(5, 20.0), bone_dice=_sums(cases, 0.5))), study)
    assert bool(found) == fault


@pytest.mark.parametrize(("cases", "suppressed", "fault"), [(2, True, ""), (2, False, "must"), (3, True, "must")])
def test_suppression_follows_the_minimum_count(study: Study, cases: int, suppressed: bool, fault: str) -> None:
    found = _what(_evaluate(study, cases=cases, suppressed=suppressed), study)
    assert (fault in found) if fault else not found


@pytest.mark.parametrize(
    ("methods", "fault"),
    [
        ((_method(),), ""),
        ((_method(), _method("mean_volume")), ""),
        ((), "missing"),
        ((_method("mean_volume"),), "missing"),
        ((_method(), _method()), "twice"),
        ((_method(), _method("smith-jane")), "method that this release does not know"),
        ((_method(psnr_db=_sums(5, 20.0), doe_john=_sums(5, 1.0)),), "metric that this release does not know"),
        ((_method(ssim=_sums(5, 2.0)),), "outside -1..1"),
        ((_method(psnr_db=_sums(4, 20.0)),), "5"),
        ((_method(mae_body_hu=_sums(5, 20.0), psnr_body_db=_sums(4, 20.0)),), "same region"),
        ((_method(psnr_body_db=_sums(5, 20.0)), _method("template", psnr_body_db=_sums(4, 20.0))), "same region"),
        ((_method(psnr_db=_sums(5, 20.0), bone_dice=_sums(4, 0.5)),), ""),
    ],
    ids=str,
)
def test_an_evaluation_is_of_the_tables_and_adds_up(
    study: Study, methods: tuple[MethodStatistics, ...], fault: str
) -> None:
    found = _what(_evaluate(study, *methods), study)
    assert (fault in found) if fault else not found
