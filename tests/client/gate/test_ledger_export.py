"""An auditor verifies an exported ledger without the site: chain, signatures, and what the coordinator witnessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from client.cli import app
from client.gate import Desk, Gate, Ledger, export, verify_export, verify_state
from client.gate import ledger as ledger_module
from common.errors import ExitCode, Refusal
from common.exchange import (
    CohortFlow,
    LedgerHead,
    RefusalCode,
    RegisterReply,
    RegisterRequest,
    TrainRequest,
    opened_request,
    pack,
    salted,
)
from common.roles import Role
from common.study import Study
from tests.letters import COORDINATOR, KEYS, signed_request

SITE, OTHER = KEYS["north"], KEYS["south"]
REQUEST = TrainRequest(study_sha256="5" * 64, run="run", round=3)
# Written by the release before entries were signed.
FORMER = (
    '{"sequence":1,"at":"2026-11-28T16:01:18.375+00:00","event":"reply","kind":"train","message":"m0","header":"{\\"round\\":1}","records":[{"name":"header","bytes":11,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}],"previous":"0000000000000000000000000000000000000000000000000000000000000000","hash":"9005ff29c9b12369a73837fa6349152fa68c88d3940df5f8ad083446ca50c30b"}',
    '{"sequence":2,"at":"2026-11-28T16:01:18.397+00:00","event":"refusal","kind":"train","message":"m1","header":"role_forbids","records":[],"previous":"9005ff29c9b12369a73837fa6349152fa68c88d3940df5f8ad083446ca50c30b","hash":"e59553880090313220fe8101911fc916a23f33574fc94c8252ebde1f1cccd7a9"}',
)

pytestmark = pytest.mark.usefixtures("flower_task")


def _message(**changes: object) -> Message:
    return signed_request(REQUEST, pack(REQUEST), SITE, **changes)


def _filled(folder: Path, rounds: int = 4) -> Gate:
    """A ledger of requests and answers, each request countersigning what the answer before it said."""
    ledger = Ledger(folder)
    gate, witnessed = Gate(ledger, Desk(SITE, COORDINATOR.verifying)), None
    for _ in range(rounds):
        message = _message(witnessed=witnessed)
        gate.receive(message)
        gate.refuse(RefusalCode.ROLE_FORBIDS, in_reply_to=message)
        witnessed = ledger.head
    return gate


def test_requests_stand_in_the_ledger_with_what_was_asked_and_what_was_signed(tmp_path: Path) -> None:
    gate, message = _filled(tmp_path, 0), _message()
    envelope = gate.receive(message)
    (entry,) = Ledger(tmp_path).entries()
    assert (entry.event, entry.kind, entry.content) == ("request", "train", envelope.content)
    assert json.loads(entry.header)["round"] == 3
    assert opened_request(entry.envelope, COORDINATOR.verifying) == envelope
    assert entry.is_signed_by(SITE.verifying)
    assert not entry.is_signed_by(OTHER.verifying)


def test_equal_weights_have_equal_hashes_whatever_salt_they_travelled_under(
    tmp_path: Path, study, train_record
) -> None:
    gate = _filled(tmp_path, 0)
    for _ in range(2):
        gate.receive(signed_request(REQUEST, train_record, SITE))
    first, second = Ledger(tmp_path).entries()
    assert first.records == second.records
    assert {record.name for record in first.records} == {"header", "generator", "discriminator"}
    assert first.content != second.content


def test_an_export_verifies_without_the_site_and_says_who_signed(tmp_path: Path) -> None:
    _filled(tmp_path / "ledger", 4)
    file = tmp_path / "ledger.export"
    summary = export(tmp_path / "ledger", file)
    assert verify_export(file) == summary == verify_state(tmp_path / "ledger")
    assert (summary.entries, summary.unsigned, summary.witnessed) == (8, 0, 6)
    assert summary.site_keys == (SITE.verifying.sha256,)
    assert summary.coordinator_keys == (COORDINATOR.verifying.sha256,)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_changed_byte_of_an_export_verifies_as_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, exported: bytes
) -> None:
    position = data.draw(st.integers(0, len(exported) - 2))
    letter = data.draw(st.integers(32, 126).filter(lambda value: value != exported[position]))
    file = tmp_path_factory.mktemp("changed") / "file"
    file.write_bytes(exported[:position] + bytes([letter]) + exported[position + 1 :])
    original = file.with_name("original")
    original.write_bytes(exported)
    try:
        changed = verify_export(file)
    except Refusal as refusal:
        assert refusal.code in (ExitCode.LEDGER_BROKEN, ExitCode.SETTINGS_INVALID)
    else:
        # The unused bits at the end of a signature or key in base64 spell the same one.
        assert changed == verify_export(original)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    folder = tmp_path_factory.mktemp("exported")
    _filled(folder / "ledger", 2)
    export(folder / "ledger", folder / "file")
    return (folder / "file").read_bytes()


def test_a_ledger_that_was_deleted_and_begun_anew_contradicts_the_coordinator(tmp_path: Path) -> None:
    gate = _filled(tmp_path, 4)
    head = gate._ledger.head
    for path in tmp_path.iterdir():
        path.unlink()
    fresh = _filled(tmp_path, 1)
    assert verify_state(tmp_path).entries == 2
    message = _message(witnessed=head)
    assert fresh.is_contradicted(fresh.receive(message))
    with pytest.raises(Refusal, match="entries were removed"):
        verify_state(tmp_path)


def test_a_chain_that_was_rewritten_contradicts_the_coordinator(tmp_path: Path) -> None:
    gate = _filled(tmp_path / "first", 2)
    head = gate._ledger.head
    other = _filled(tmp_path / "second", 2)
    assert other.is_contradicted(other.receive(_message(witnessed=head)))
    with pytest.raises(Refusal, match="entry 4"):
        verify_state(tmp_path / "second")


def test_a_witness_of_what_is_there_contradicts_nothing(tmp_path: Path) -> None:
    gate = _filled(tmp_path, 2)
    assert not gate.is_contradicted(gate.receive(_message(witnessed=gate._ledger.head)))
    assert not gate.is_contradicted(gate.receive(_message(witnessed=None)))
    assert gate.is_contradicted(gate.receive(_message(witnessed=LedgerHead(sequence=10**6, hash="a" * 64))))


Change = Callable[[list[dict[str, object]]], None]
FORGERIES: dict[str, Change] = {
    "no signature": lambda lines: lines[3].update(signature=""),
    "another key's": lambda lines: lines[3].update(signer=OTHER.verifying.sha256),
    "another entry's": lambda lines: lines[3].update(signature=lines[2]["signature"]),
    "removed": lambda lines: lines.pop(2),
    "swapped": lambda lines: lines.insert(1, lines.pop(2)),
    "other coordinator": lambda lines: lines[0].update(coordinator=[OTHER.verifying.openssh.decode()]),
    "other site": lambda lines: lines[0].update(site=[OTHER.verifying.openssh.decode()]),
    "no keys": lambda lines: lines[0].update(site=[], coordinator=[]),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_named(tmp_path: Path, exported: bytes, name: str) -> None:
    lines = [json.loads(line) for line in exported.splitlines()]
    FORGERIES[name](lines)
    file = tmp_path / "forged"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(Refusal) as caught:
        verify_export(file)
    assert caught.value.code is ExitCode.LEDGER_BROKEN


def test_a_request_comes_in_once_even_after_a_restart(tmp_path: Path) -> None:
    gate, message = _filled(tmp_path, 0), _message()
    content = message.content
    gate.receive(message)
    again = Gate(Ledger(tmp_path), Desk(SITE, COORDINATOR.verifying))
    with pytest.raises(Refusal, match="came before"):
        again.admit(message, content.object_id)


def test_a_large_ledger_goes_on_in_a_new_file_and_stays_one_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "ROTATE_BYTES", 4_000)
    _filled(tmp_path, 5)
    files = sorted(path.name for path in tmp_path.glob("ledger*.jsonl"))
    assert len(files) > 2
    assert files[0] == "ledger.000000000001.jsonl"
    assert verify_state(tmp_path).entries == 10
    again = Gate(Ledger(tmp_path), Desk(SITE, COORDINATOR.verifying))
    again.receive(_message(witnessed=again._ledger.head))
    assert verify_state(tmp_path).entries == 11
    assert len(list(Ledger(tmp_path).entries())) == 11
    # A file that is taken out of the middle is missed.
    (tmp_path / files[1]).unlink()
    with pytest.raises(Refusal) as caught:
        Ledger(tmp_path)
    assert caught.value.code is ExitCode.LEDGER_BROKEN


def test_a_kill_between_two_files_loses_nothing(tmp_path: Path) -> None:
    _filled(tmp_path, 2)
    (tmp_path / "ledger.jsonl").rename(tmp_path / "ledger.000000000001.jsonl")
    gate = Gate(Ledger(tmp_path), Desk(SITE, COORDINATOR.verifying))
    gate.receive(_message())
    assert verify_state(tmp_path).entries == 5


def test_a_ledger_of_the_release_before_still_verifies_and_goes_on_signed(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text("".join(f"{line}\n" for line in FORMER))
    (tmp_path / "ledger.head").write_text(f"2 {json.loads(FORMER[1])['hash']}\n")
    assert verify_state(tmp_path).unsigned == 2
    gate = Gate(Ledger(tmp_path), Desk(SITE, COORDINATOR.verifying))
    gate.receive(_message(witnessed=gate._ledger.head))
    summary = verify_state(tmp_path)
    assert (summary.entries, summary.unsigned, summary.witnessed) == (3, 2, 2)


def test_a_site_with_a_new_key_keeps_its_ledger(tmp_path: Path) -> None:
    _filled(tmp_path, 1)
    renewed = Gate(Ledger(tmp_path), Desk(OTHER, COORDINATOR.verifying))
    renewed.receive(signed_request(REQUEST, pack(REQUEST), OTHER))
    assert verify_state(tmp_path).site_keys == (SITE.verifying.sha256, OTHER.verifying.sha256)


def test_the_ledger_names_the_very_record_that_leaves(tmp_path: Path, study: Study) -> None:
    request = RegisterRequest(study_sha256=study.sha256, run="r")
    reply = RegisterReply(
        study_sha256=study.sha256,
        run="r",
        role=Role.TRAIN,
        train_cases=9,
        evaluation_cases=9,
        flow=CohortFlow(found=18, eligible=18, used=18),
        release="0.1.0",
        device="cpu",
    )
    gate = _filled(tmp_path, 0)
    message = signed_request(request, pack(request), SITE)
    gate.receive(message)
    released = gate.release(reply, {}, study=study, in_reply_to=message).message
    entry = list(Ledger(tmp_path).entries())[-1]
    assert entry.content == released.content.object_id
    assert entry.content != salted(pack(reply)).object_id


def test_the_commands_say_what_an_auditor_compares(tmp_path: Path) -> None:
    _filled(tmp_path / "state" / "ledger", 2)
    run, file = CliRunner().invoke, tmp_path / "ledger.export"
    written = run(app, ["ledger", "export", str(tmp_path / "state"), str(file)])
    for result in (
        written,
        run(app, ["ledger", "verify", str(file)]),
        run(app, ["ledger", "verify", str(file.parent / "state")]),
    ):
        assert result.exit_code == 0
        assert "ledger intact: 4 entries" in result.output
        assert SITE.verifying.sha256 in result.output
        assert COORDINATOR.verifying.sha256 in result.output
        assert "up to entry 2" in result.output
    assert "request" in run(app, ["ledger", "show", str(tmp_path / "state")]).output
