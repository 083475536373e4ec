from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from common.errors import ExitCode, Refusal
from common.files import append_line, read_tensors, write_atomic, write_tensors


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
