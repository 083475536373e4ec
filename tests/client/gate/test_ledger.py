from __future__ import annotations

import errno
import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.gate import Ledger
from common.errors import ExitCode, Refusal


def _filled(folder: Path, count: int = 4) -> Ledger:
    ledger = Ledger(folder)
    for number in range(count):
        ledger.append("reply", kind="train", message=f"m{number}", header=f'{{"round":{number}}}', records=())
    return ledger


def test_entries_chain_and_survive_reopening(tmp_path: Path) -> None:
    _filled(tmp_path)
    again = Ledger(tmp_path)
    again.append("refusal", kind="train", message="m9", header="role_forbids", records=())
    entries = list(Ledger(tmp_path).entries())
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert all(after.previous == before.hash for before, after in pairwise(entries))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_changed_byte_breaks_the_ledger(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    path = _filled(folder, 3).path
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 2))
    replacement = data.draw(st.integers(0, 255).filter(lambda value: value != original[position]))
    path.write_bytes(original[:position] + bytes([replacement]) + original[position + 1 :])
    with pytest.raises(Refusal) as caught:
        Ledger(folder)
    assert caught.value.code is ExitCode.LEDGER_BROKEN


@pytest.mark.parametrize("keep", [[0, 1, 2], [0, 1], [1, 2, 3], [0, 2, 1, 3], [], [0, 1, 1, 2, 3]])
def test_removed_repeated_or_reordered_lines_are_noticed(tmp_path: Path, keep: list[int]) -> None:
    path = _filled(tmp_path, 5).path
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[index] for index in keep))
    with pytest.raises(Refusal) as caught:
        Ledger(tmp_path)
    assert caught.value.code is ExitCode.LEDGER_BROKEN


def test_a_rewritten_tail_with_valid_hashes_is_noticed_by_the_head(tmp_path: Path) -> None:
    path = _filled(tmp_path, 3).path
    other = _filled(tmp_path / "other", 2).path
    path.write_text(other.read_text())
    with pytest.raises(Refusal, match="head does not match"):
        Ledger(tmp_path)


def test_a_torn_last_line_is_cut_and_the_cut_is_recorded(tmp_path: Path) -> None:
    path = _filled(tmp_path, 2).path
    with path.open("a") as stream:
        stream.write('{"sequence":3,"at":"2026')
    entries = list(Ledger(tmp_path).entries())
    assert [entry.event for entry in entries] == ["reply", "reply", "recovered"]


def test_looking_at_a_ledger_in_use_changes_nothing(tmp_path: Path) -> None:
    path = _filled(tmp_path, 2).path
    with path.open("a") as stream:
        stream.write('{"sequence":3,"at":"2026')
    before = path.read_bytes()
    assert len(list(Ledger.opened(tmp_path).entries())) == 2
    assert path.read_bytes() == before


def test_a_kill_between_line_and_head_is_recovered(tmp_path: Path) -> None:
    ledger = _filled(tmp_path, 2)
    head = (tmp_path / "ledger.head").read_bytes()
    ledger.append("reply", kind="train", message="m", header="", records=())
    (tmp_path / "ledger.head").write_bytes(head)
    assert len(list(Ledger(tmp_path).entries())) == 3


def test_nothing_is_recorded_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = _filled(tmp_path, 1)

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Refusal) as caught:
        ledger.append("reply", kind="train", message="m", header="", records=())
    assert caught.value.code is ExitCode.DISK_FULL


def test_lines_are_plain_json_a_security_officer_can_read(tmp_path: Path) -> None:
    path = _filled(tmp_path, 1).path
    line = json.loads(path.read_text())
    assert line["sequence"] == 1
    assert line["previous"] == "0" * 64
