from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from common.errors import ExitCode, Refusal
from common.files import append_line, read_tensors, whole_folder, write_atomic, write_tensors


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refusal) as caught:
        write_atomic(path, b"new")
    assert caught.value.code is ExitCode.DISK_FULL
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_missing_folder_is_a_refusal_that_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        write_atomic(tmp_path / "absent" / "file", b"")
    assert caught.value.code is ExitCode.DISK_UNWRITABLE
    assert "absent" in caught.value.where


def test_files_are_private_by_default(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"x")
    write_tensors(tmp_path / "b", {"w": torch.zeros(2)})
    append_line(tmp_path / "c", "x")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_tensors_read_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), "b": torch.arange(3)}
    write_tensors(tmp_path / "t.safetensors", tensors)
    read = read_tensors(tmp_path / "t.safetensors")
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_damaged_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(Refusal) as caught:
        read_tensors(path)
    assert caught.value.code is ExitCode.RUN_INVALID


def test_lines_are_appended_whole(tmp_path: Path) -> None:
    for number in range(3):
        append_line(tmp_path / "log", f"line {number}")
    assert (tmp_path / "log").read_text() == "line 0\nline 1\nline 2\n"


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out") as place:
        write_atomic(place / "a", b"1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_bytes() == b"1"
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "other") as place:
        write_atomic(place / "a", b"1")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_takes_the_place_of_an_empty_one_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty") as place:
        write_atomic(place / "a", b"1")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    for taken in ("empty", "link", "file"):
        with pytest.raises(Refusal) as caught, whole_folder(tmp_path / taken):
            pytest.fail("was filled")
        assert caught.value.code is ExitCode.USAGE
    assert (tmp_path / "empty" / "a").read_bytes() == b"1"
