from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from client.gate import Approvals, Desk, Gate, Ledger
from client.link import SiteApp
from common.errors import ExitCode, Refusal
from common.exchange import (
    CohortFlow,
    EvaluateReply,
    EvaluateRequest,
    RegisterReply,
    RegisterRequest,
    Request,
    TrainLosses,
    TrainReply,
    TrainRequest,
    build_network,
    evaluate_manifests,
    pack,
    train_manifests,
    unsalted,
    weights_of,
)
from common.roles import Role
from common.study import Study
from tests.letters import COORDINATOR, new_key, signed_request

SITE = new_key()
LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2, adversarial=0.1, discriminator=0.3)


class ScriptedWork:
    """Stands where a cohort would be: answers at once and counts its calls."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.calls: list[str] = []
        self.failure: Exception | None = None

    def register(self, request: RegisterRequest) -> RegisterReply:
        self.calls.append("register")
        return RegisterReply(
            study_sha256=request.study_sha256,
            run=request.run,
            role=Role.TRAIN,
            train_cases=4,
            evaluation_cases=1,
            flow=CohortFlow(found=9, eligible=6, used=5, excluded={"not_ct": 3, "not_a_head": 1}),
            release="0.1.0",
            device="cpu",
        )

    def train(self, request: TrainRequest, weights):
        self.calls.append("train")
        if self.failure is not None:
            raise self.failure
        reply = TrainReply(
            study_sha256=request.study_sha256,
            run=request.run,
            round=request.round,
            cases=4,
            steps=40,
            skipped_steps=0,
            seconds=0.1,
            losses=LOSSES,
        )
        return reply, weights

    def evaluate(self, request: EvaluateRequest, weights) -> EvaluateReply:
        self.calls.append("evaluate")
        return EvaluateReply(
            study_sha256=request.study_sha256,
            run=request.run,
            round=request.round,
            cases=2,
            suppressed=True,
            seconds=0.1,
            methods=(),
        )


@pytest.fixture
def work(study: Study) -> ScriptedWork:
    return ScriptedWork(study)


@pytest.fixture
def site(tmp_path: Path, study: Study, work: ScriptedWork) -> Callable[[Role], SiteApp]:
    def make(role: Role) -> SiteApp:
        approvals = Approvals({study.sha256: study})
        return SiteApp(
            role, approvals, Gate(Ledger(tmp_path / "ledger"), Desk(SITE, COORDINATOR.verifying)), lambda _sha: work
        )

    return make


def _train(study: Study, **change: object) -> Message:
    request = TrainRequest(study_sha256=study.sha256, run="r", round=1).model_copy(update=change)
    return signed_request(request, _packed(request, study), SITE)


def _packed(request: TrainRequest, study: Study) -> RecordDict:
    return pack(request, {n: (m, weights_of(build_network(study, n))) for n, m in train_manifests(study).items()})


def _reason(site: SiteApp, message: Message) -> str:
    reply = site.answer(message).message
    return str(reply.error.reason) if reply.has_error() else "answered"


@pytest.mark.usefixtures("flower_task")
def test_a_training_site_answers_registration_training_and_evaluation(site, study: Study, work: ScriptedWork) -> None:
    app = site(Role.TRAIN)
    joining = RegisterRequest(study_sha256=study.sha256, run="r")
    register = signed_request(joining, pack(joining), SITE)
    generator = {"generator": (evaluate_manifests(study)["generator"], weights_of(build_network(study, "generator")))}
    evaluation = EvaluateRequest(study_sha256=study.sha256, run="r", round=1)
    evaluate = signed_request(evaluation, pack(evaluation, generator), SITE)
    assert [_reason(app, m) for m in (register, _train(study), evaluate)] == ["answered"] * 3
    assert work.calls == ["register", "train", "evaluate"]


@pytest.mark.usefixtures("flower_task")
def test_a_held_out_site_refuses_to_train_and_nothing_runs(site, study: Study, work: ScriptedWork) -> None:
    assert _reason(site(Role.EVALUATE), _train(study)) == "role_forbids"
    assert work.calls == []


@pytest.mark.usefixtures("flower_task")
def test_a_study_that_was_not_approved_is_refused(site, study: Study, work: ScriptedWork) -> None:
    assert _reason(site(Role.TRAIN), _train(study, study_sha256="0" * 64)) == "study_not_approved"
    assert work.calls == []


@pytest.mark.usefixtures("flower_task")
@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"header": ConfigRecord({"json": "{}"})}),
        RecordDict({"header": ConfigRecord({"json": "__import__('os').system('true')"})}),
        RecordDict({"config": ConfigRecord({"code": "print(1)"})}),
    ],
    ids=["empty", "no fields", "code", "foreign record"],
)
@pytest.mark.parametrize("kind", [TrainRequest, EvaluateRequest, RegisterRequest])
def test_hostile_messages_are_refused_without_work(
    site, work: ScriptedWork, study: Study, content: RecordDict, kind: type[Request]
) -> None:
    numbered = {} if kind is RegisterRequest else {"round": 1}
    request = kind(study_sha256=study.sha256, run="r", **numbered)
    # A coordinator that lies signs what it sends.
    assert _reason(site(Role.TRAIN), signed_request(request, content, SITE, raw=True)) == "message_invalid"
    assert work.calls == []


@pytest.mark.usefixtures("flower_task")
def test_what_was_signed_for_one_round_and_says_another_is_refused(site, study: Study, work: ScriptedWork) -> None:
    request = TrainRequest(study_sha256=study.sha256, run="r", round=1)
    for change in ({"round": 2}, {"run": "other"}, {"study": "0" * 64}):
        message = signed_request(request, _packed(request, study), SITE, **change)
        assert _reason(site(Role.TRAIN), message) == "message_invalid"
    assert work.calls == []


@pytest.mark.usefixtures("flower_task")
def test_requests_with_missing_extra_or_poisoned_weights_are_refused(site, study: Study, work: ScriptedWork) -> None:
    request = TrainRequest(study_sha256=study.sha256, run="r", round=1)
    bare, extra, poisoned = pack(request), _packed(request, study), _packed(request, study)
    extra["notes"] = MetricRecord({"x": 1.0})
    arrays = poisoned["generator"]
    name, array = next(iter(arrays.items()))
    array.data = b"\xff" * len(array.data)
    arrays[name] = array
    for record in (bare, extra, poisoned):
        message = signed_request(request, record, SITE)
        assert _reason(site(Role.TRAIN), message) == "message_invalid"
    assert work.calls == []


@pytest.mark.usefixtures("flower_task")
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Refusal(ExitCode.TRAINING_DIVERGED, "loss is not finite", where="round 1", mend="-"), "training_diverged"),
        (Refusal(ExitCode.DISK_FULL, "no space", where="/state", mend="-"), "disk_full"),
        (RuntimeError("DOE^JOHN 1970-01-01 could not be read"), "internal"),
    ],
    ids=["diverged", "disk", "crash"],
)
def test_what_goes_wrong_leaves_as_a_code_and_never_in_words(
    site, study: Study, work: ScriptedWork, failure: Exception, reason: str, tmp_path: Path
) -> None:
    work.failure = failure
    assert _reason(site(Role.TRAIN), _train(study)) == reason
    assert "DOE" not in (tmp_path / "ledger" / "ledger.jsonl").read_text()


@pytest.mark.usefixtures("flower_task")
def test_every_answer_is_in_the_ledger(site, study: Study, tmp_path: Path) -> None:
    app = site(Role.TRAIN)
    for message in (_train(study), _train(study, study_sha256="0" * 64)):
        app.answer(message)
    assert [entry.event for entry in Ledger(tmp_path / "ledger").entries()] == [
        "request",
        "reply",
        "request",
        "refusal",
    ]


@pytest.mark.usefixtures("flower_task")
def test_weights_leave_exactly_as_the_work_returned_them(site, study: Study) -> None:
    message = _train(study)
    reply = site(Role.TRAIN).answer(message).message
    for network, manifest in train_manifests(study).items():
        sent = manifest.unpack(message.content[network])
        back = manifest.unpack(unsalted(reply.content)[network])
        assert all(torch.equal(back[name], sent[name]) for name in sent)
