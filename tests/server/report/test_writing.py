"""The command writes both files or says in one line why not."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import ExitCode, Refusal
from server.report import ReportDocument, write_report
from server.report_cli import main

Make = Callable[..., Any]


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tomoray-report", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_both_files_are_written_into_the_run_directory(
    make_run: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = make_run(rounds=1)
    assert run_main(monkeypatch, str(written.directory)) == 0
    html, json = (Path(line) for line in capsys.readouterr().out.split())
    assert (html, json) == (written.directory / "report.html", written.directory / "report.json")
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    document = ReportDocument.model_validate_json(json.read_text(encoding="utf-8"))
    assert document.provenance.run == written.run.run


def test_the_output_folder_is_made_and_the_run_directory_left_alone(make_run: Make) -> None:
    written = make_run(rounds=1)
    paths = write_report(written.directory, written.directory.parent / "new" / "folder")
    assert paths.html.is_file()
    assert paths.json.is_file()
    assert sorted(p.name for p in written.directory.iterdir()) == ["rounds.jsonl", "run.json"]


def test_a_foreign_directory_is_one_line_and_a_numbered_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, str(tmp_path)) == ExitCode.RUN_INVALID
    error = capsys.readouterr().err
    assert error.startswith("tomoray-report: no run here")
    assert error.count("\n") == 1


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = make_run(rounds=1)
    before = write_report(written.directory).html.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Refusal) as caught:
        write_report(written.directory)
    assert caught.value.code is ExitCode.DISK_FULL
    assert (written.directory / "report.html").read_bytes() == before
    assert not list(written.directory.glob(".*.tmp"))


def test_a_record_growing_round_by_round_can_be_reported_each_time(make_run: Make) -> None:
    written = make_run(rounds=2)
    rounds, written.rounds = written.rounds, []
    for record in rounds:
        written.rounds.append(record)
        written.write()
        paths = write_report(written.directory)
        document = ReportDocument.model_validate_json(paths.json.read_text(encoding="utf-8"))
        assert document.held_out.round == record.round


def test_help_names_the_argument(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "--help") == 0
    assert "Directory of a run" in capsys.readouterr().out
