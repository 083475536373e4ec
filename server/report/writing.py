"""Writes report.html and report.json of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from common.files import make_folder, write_atomic
from server.report.document import ReportDocument
from server.report.page import render
from server.report.recorded_run import read_run


@final
@dataclass(frozen=True)
class ReportPaths:
    """The two files of a report."""

    html: Path
    json: Path


def write_report(run_directory: Path, output: Path | None = None) -> ReportPaths:
    """Write ``report.html`` and ``report.json`` of a run, each atomically.

    Args:
        run_directory: a run's directory, of a run that is finished or still going.
        output: folder for the two files, created if missing; the run directory if not given.

    Raises:
        Refusal: ``RUN_INVALID`` if there is no readable run, ``DISK_FULL`` or ``DISK_UNWRITABLE`` if a file cannot be
            written; the files of an earlier report are then untouched.
    """
    document = ReportDocument.of(read_run(run_directory))
    page = render(document).encode("utf-8")
    folder = make_folder(output) if output else run_directory
    paths = ReportPaths(html=folder / "report.html", json=folder / "report.json")
    write_atomic(paths.json, f"{document.model_dump_json(indent=1)}\n".encode(), mode=0o644)
    write_atomic(paths.html, page, mode=0o644)
    return paths
