"""A run as its directory tells it: ``run.json`` and the lines of ``rounds.jsonl``, checked before use."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pydantic import ValidationError

from common.errors import ExitCode, Refusal
from common.study import Study
from server.rounds import RoundRecord, RunRecord

RUN_FILE = "run.json"
ROUNDS_FILE = "rounds.jsonl"


@final
@dataclass(frozen=True)
class RecordedRun:
    """What a run directory holds.

    Attributes:
        run: the run and its sites as they registered.
        study: the study, its hash checked against the run's.
        rounds: the record that counts for each round, in rising order.
        superseded: earlier records of rounds that were repeated after a restart.
        truncated: whether the last line was cut short, as a killed process leaves it; it is not in ``rounds``.
    """

    run: RunRecord
    study: Study
    rounds: tuple[RoundRecord, ...]
    superseded: tuple[RoundRecord, ...]
    truncated: bool

    @property
    def everything(self) -> tuple[RoundRecord, ...]:
        """All records, those of repeated rounds included."""
        return self.superseded + self.rounds


def read_run(directory: Path) -> RecordedRun:
    """Read and check a run directory.

    Raises:
        Refusal: ``RUN_INVALID`` if the directory or ``run.json`` is missing, a file does not parse, two sites share a
            name, or the study does not have the hash the run names. A last line without its end is no fault.
    """
    run = _read_run_record(directory / RUN_FILE)
    study = _read_study(run, directory / RUN_FILE)
    lines, truncated = _read_lines(directory / ROUNDS_FILE)
    latest: dict[int, RoundRecord] = {}
    superseded: list[RoundRecord] = []
    for record in lines:
        if record.round in latest:
            superseded.append(latest[record.round])
        latest[record.round] = record
    return RecordedRun(run, study, tuple(latest[n] for n in sorted(latest)), tuple(superseded), truncated)


def _read_run_record(path: Path) -> RunRecord:
    if not path.is_file():
        mend = "name the directory of a run, which holds run.json"
        raise Refusal(ExitCode.RUN_INVALID, "no run here", where=str(path.parent), mend=mend)
    try:
        run = RunRecord.model_validate_json(_text(path))
    except ValidationError as error:
        raise _damaged(_first_fault(error), path.name) from error
    twice = [name for name, count in Counter(site.name for site in run.sites).items() if count > 1]
    if twice:
        raise _damaged(f"{len(twice)} site name(s) occur twice", path.name)
    return run


def _read_study(run: RunRecord, path: Path) -> Study:
    try:
        study = Study.model_validate_json(run.study_json)
    except ValidationError as error:
        what = f"this release cannot read the run's study ({_first_fault(error)})"
        mend = f"use release {run.release}, which wrote the run"
        raise Refusal(ExitCode.RUN_INVALID, what, where=path.name, mend=mend) from error
    if study.sha256 != run.study_sha256:
        raise _damaged("the study does not have the hash the run names", path.name)
    return study


def _read_lines(path: Path) -> tuple[tuple[RoundRecord, ...], bool]:
    """Records in file order, and whether a last line without its end was left out, as a resumed run leaves it out."""
    if not path.exists():
        return (), False
    *complete, rest = _text(path).split("\n")
    records = tuple(_record(line, path, number) for number, line in enumerate(complete, start=1) if line.strip())
    return records, bool(rest.strip())


def _record(line: str, path: Path, number: int) -> RoundRecord:
    try:
        return RoundRecord.model_validate_json(line)
    except ValidationError as error:
        raise _damaged(_first_fault(error), f"{path.name} line {number}") from error


def _text(path: Path) -> str:
    try:
        # A write cut short may end inside a character; the replacement makes that line invalid, never the file.
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise _damaged(f"unreadable ({type(error).__name__})", path.name) from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in fault['loc']) or 'document'}: {fault['type']}"


def _damaged(what: str, where: str) -> Refusal:
    mend = "restore the run directory from a copy, or name another run"
    return Refusal(ExitCode.RUN_INVALID, what, where=where, mend=mend)
