"""What comes in: only what the coordinator signed for this site, just as it came, and each request once."""

from __future__ import annotations

from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message

from client.gate import Desk, Gate, Ledger
from common.errors import Refusal
from common.exchange import RefusalCode, TrainRequest, new_nonce, opened_reply, pack
from tests.letters import COORDINATOR, KEYS, signed_request

SITE, OTHER = KEYS["north"], KEYS["south"]
REQUEST = TrainRequest(study_sha256="5" * 64, run="run", round=3)

pytestmark = pytest.mark.usefixtures("flower_task")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(Ledger(tmp_path), Desk(SITE, COORDINATOR.verifying))


def _message(**changes: object) -> Message:
    return signed_request(REQUEST, pack(REQUEST), SITE, **changes)


def test_a_signed_request_comes_in_as_the_coordinator_packed_it(gate: Gate) -> None:
    message = _message()
    gate.admit(message, message.content.object_id)
    envelope = gate.receive(message)
    assert (envelope.study, envelope.run, envelope.round) == (REQUEST.study_sha256, "run", 3)
    assert message.content == pack(REQUEST)


@pytest.mark.parametrize(
    "message",
    [
        lambda: signed_request(REQUEST, pack(REQUEST), SITE, SITE),
        lambda: signed_request(REQUEST, pack(REQUEST), SITE, OTHER),
        lambda: signed_request(REQUEST, pack(REQUEST), OTHER),
        lambda: _message(receiver=OTHER.verifying.sha256),
        lambda: _message(sender=OTHER.verifying.sha256),
        lambda: _message(content="0" * 64),
        lambda: Message(pack(REQUEST), 7, "train"),
    ],
    ids=["own key", "other site", "to other site", "receiver", "sender", "other record", "unsigned"],
)
def test_nothing_else_comes_in(gate: Gate, message) -> None:
    letter = message()
    with pytest.raises(Refusal):
        gate.admit(letter, letter.content.object_id)
    with pytest.raises(Refusal):
        gate.receive(letter)


def test_a_record_that_was_changed_on_its_way_does_not_come_in(gate: Gate) -> None:
    message = _message()
    message.content["header"] = ConfigRecord({"json": "{}"})
    with pytest.raises(Refusal, match="another record"):
        gate.receive(message)


def test_a_request_that_is_signed_as_another_kind_does_not_come_in(gate: Gate) -> None:
    message = _message()
    message.metadata.__dict__["_message_type"] = "evaluate"
    with pytest.raises(Refusal, match="another kind"):
        gate.receive(message)


def test_a_request_comes_in_once(gate: Gate) -> None:
    message = _message()
    salted_content = message.content
    gate.receive(message)
    message.content = salted_content
    with pytest.raises(Refusal, match="came before"):
        gate.receive(message)


def test_every_answer_is_signed_for_the_request_that_it_answers(gate: Gate) -> None:
    message = _message()
    envelope = gate.receive(message)
    answer = gate.refuse(RefusalCode.ROLE_FORBIDS, in_reply_to=message).message
    assert opened_reply(answer.metadata.group_id, SITE.verifying, envelope).refusal is RefusalCode.ROLE_FORBIDS


def test_another_computer_with_the_same_key_is_noticed_by_both(gate: Gate) -> None:
    mine, theirs = gate._desk.process, new_nonce()
    first = gate.receive(_message(answered_by=theirs))
    # A process that starts again sees its predecessor's answers, and that is no other computer.
    assert not gate.is_shared(first)
    gate.refuse(RefusalCode.INTERNAL, in_reply_to=_message())
    assert not gate.is_shared(gate.receive(_message(answered_by=mine)))
    assert not gate.is_shared(gate.receive(_message(answered_by=None)))
    assert gate.is_shared(gate.receive(_message(answered_by=theirs)))
