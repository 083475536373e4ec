from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from flwr.app import Message

from client.gate import Desk, Gate, Ledger, Released
from common.errors import ExitCode, Refusal
from common.exchange import (
    EvaluateReply,
    MethodStatistics,
    MetricSums,
    RefusalCode,
    TrainLosses,
    TrainReply,
    build_network,
    read_reply,
    train_manifests,
    unpack_weights,
    unsalted,
    weights_of,
)
from common.study import Study
from tests.letters import COORDINATOR, KEYS

LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2, adversarial=0.1, discriminator=0.3)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(Ledger(tmp_path / "ledger"), Desk(KEYS["north"], COORDINATOR.verifying))


def _train_reply(study: Study) -> TrainReply:
    return TrainReply(
        study_sha256=study.sha256, run="r", round=1, cases=4, steps=40, skipped_steps=0, seconds=1.0, losses=LOSSES
    )


def _evaluate_reply(study: Study, cases: int, counted: int, *, suppressed: bool) -> EvaluateReply:
    sums = MetricSums(cases=counted, total=20.0 * counted, total_of_squares=400.0 * counted)
    methods = () if suppressed else (MethodStatistics(method="generator", metrics={"psnr_db": sums}),)
    return EvaluateReply(
        study_sha256=study.sha256, run="r", round=1, cases=cases, suppressed=suppressed, seconds=1.0, methods=methods
    )


def _weights(study: Study) -> dict[str, dict[str, torch.Tensor]]:
    return {name: weights_of(build_network(study, name)) for name in train_manifests(study)}


def test_a_training_reply_leaves_with_its_weights_and_is_in_the_ledger_first(
    gate: Gate, study: Study, train_message: Message, tmp_path: Path
) -> None:
    released = gate.release(_train_reply(study), _weights(study), study=study, in_reply_to=train_message)
    content = unsalted(released.message.content)
    assert read_reply(content, _train_reply(study).kind) == _train_reply(study)
    assert set(unpack_weights(content, train_manifests(study))) == {"generator", "discriminator"}
    (entry,) = Ledger(tmp_path / "ledger").entries()
    assert [record.name for record in entry.records] == ["discriminator", "generator", "header"]
    assert {r.name: r.bytes for r in entry.records}["generator"] == train_manifests(study)["generator"].wire_bytes
    assert entry.header == content["header"]["json"]


def test_a_local_discriminator_stays_at_the_site(gate: Gate, study: Study, train_message: Message) -> None:
    networks = study.networks
    local = study.model_copy(
        update={
            "networks": networks.model_copy(
                update={"discriminator": networks.discriminator.model_copy(update={"federated": False})}
            )
        }
    )
    with pytest.raises(Refusal) as caught:
        gate.release(_train_reply(local), _weights(study), study=local, in_reply_to=train_message)
    assert caught.value.code is ExitCode.EGRESS_REFUSED
    only_generator = {"generator": _weights(study)["generator"]}
    gate.release(_train_reply(local), only_generator, study=local, in_reply_to=train_message)


def test_tensors_that_are_no_network_do_not_leave(gate: Gate, study: Study, train_message: Message) -> None:
    smuggled = _weights(study) | {"image": {"volume": torch.zeros(16, 16, 16)}}
    with pytest.raises(Refusal):
        gate.release(_train_reply(study), smuggled, study=study, in_reply_to=train_message)


def test_a_volume_in_the_generators_place_does_not_leave(
    gate: Gate, study: Study, train_message: Message, tmp_path: Path
) -> None:
    disguised = _weights(study) | {"generator": {"volume": torch.zeros(16, 16, 16)}}
    with pytest.raises(Refusal) as caught:
        gate.release(_train_reply(study), disguised, study=study, in_reply_to=train_message)
    assert caught.value.code is ExitCode.EGRESS_REFUSED
    assert list(Ledger(tmp_path / "ledger").entries()) == []


def test_weights_never_travel_with_an_evaluation(gate: Gate, study: Study, train_message: Message) -> None:
    reply = _evaluate_reply(study, 4, 4, suppressed=False)
    with pytest.raises(Refusal):
        gate.release(reply, _weights(study), study=study, in_reply_to=train_message)


@pytest.mark.parametrize(
    ("cases", "counted", "suppressed"), [(2, 2, False), (4, 2, False), (4, 5, False), (4, 4, True)], ids=str
)
def test_statistics_over_too_few_cases_do_not_leave(
    gate: Gate, study: Study, train_message: Message, cases: int, counted: int, suppressed: bool
) -> None:
    reply = _evaluate_reply(study, cases, counted, suppressed=suppressed)
    with pytest.raises(Refusal) as caught:
        gate.release(reply, {}, study=study, in_reply_to=train_message)
    assert caught.value.code is ExitCode.EGRESS_REFUSED


def test_a_suppressed_evaluation_says_only_that_it_is(gate: Gate, study: Study, train_message: Message) -> None:
    released = gate.release(_evaluate_reply(study, 2, 2, suppressed=True), {}, study=study, in_reply_to=train_message)
    assert set(released.message.content) == {"header"}


def test_a_reply_for_another_study_does_not_leave(gate: Gate, study: Study, train_message: Message) -> None:
    other = study.model_copy(update={"name": "other"})
    with pytest.raises(Refusal, match="another study"):
        gate.release(_train_reply(other), _weights(study), study=study, in_reply_to=train_message)


def test_a_refusal_carries_its_code_and_nothing_else(gate: Gate, train_message: Message, tmp_path: Path) -> None:
    message = gate.refuse(RefusalCode.ROLE_FORBIDS, in_reply_to=train_message).message
    assert message.error.reason == "role_forbids"
    (entry,) = Ledger(tmp_path / "ledger").entries()
    assert (entry.event, entry.header) == ("refusal", "role_forbids")


def test_only_the_gate_makes_released_messages() -> None:
    makers = set()
    for path in Path("client").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == Released.__name__:
                makers.add(str(path))
    assert makers == {"client/gate/egress.py"}
