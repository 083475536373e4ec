"""A site whose own code is turned: what it would smuggle out as names passes neither gate nor coordinator."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from client.gate import Desk, Gate, Ledger
from common.errors import ExitCode, Refusal
from common.exchange import CohortFlow, EvaluateReply, MethodStatistics, MetricSums, RegisterReply, Reply, Role
from common.study import Study
from tests.letters import COORDINATOR, KEYS

NAME_BYTES = 30


def _picture() -> bytes:
    return np.random.default_rng(1).integers(0, 256, 12_000, dtype=np.uint8).tobytes()


def _names(picture: bytes) -> list[str]:
    parts = [picture[at : at + NAME_BYTES] for at in range(0, len(picture), NAME_BYTES)]
    return [f"m{base64.b16encode(part).decode().lower()}" for part in parts]


def _as_metric_names(study: Study) -> Reply:
    sums = MetricSums(cases=4, total=80.0, total_of_squares=1600.0)
    names = _names(_picture())
    methods = tuple(
        MethodStatistics(method=method, metrics=dict.fromkeys(names[at * 64 : at * 64 + 64], sums))
        for at, method in enumerate(["generator", "mean_volume", "template", "back_projection", "own_skull_mean_brain"])
    )
    return EvaluateReply(
        study_sha256=study.sha256, run="r", round=1, cases=4, suppressed=False, seconds=1.0, methods=methods
    )


def _as_method_names(study: Study) -> Reply:
    sums = MetricSums(cases=4, total=80.0, total_of_squares=1600.0)
    methods = tuple(MethodStatistics(method=name, metrics={"psnr_db": sums}) for name in _names(_picture())[:16])
    return EvaluateReply(
        study_sha256=study.sha256, run="r", round=1, cases=4, suppressed=False, seconds=1.0, methods=methods
    )


def _as_verdicts(study: Study) -> Reply:
    excluded = dict.fromkeys(_names(_picture())[:64], 1)
    flow = CohortFlow(found=68, eligible=4, used=4, excluded=excluded)
    return RegisterReply(
        study_sha256=study.sha256, run="r", role=Role.TRAIN, train_cases=4, evaluation_cases=0, flow=flow,
        release="0.1.0", device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize("smuggled", [_as_metric_names, _as_method_names, _as_verdicts])
def test_a_picture_does_not_leave_as_names(smuggled, study: Study, train_message: Message, tmp_path: Path) -> None:
    gate = Gate(Ledger(tmp_path / "ledger"), Desk(KEYS["north"], COORDINATOR.verifying))
    with pytest.raises(Refusal) as caught:
        gate.release(smuggled(study), {}, study=study, in_reply_to=train_message)
    assert caught.value.code is ExitCode.EGRESS_REFUSED
    for name in _names(_picture()):
        assert name not in str(caught.value)
    assert list(Ledger(tmp_path / "ledger").entries()) == []
