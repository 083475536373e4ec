"""(a): how fast an archive is found, the first time and again, beside reading every file with pydicom."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from pydicom import dcmread

from benchmarks.cohort.clock import Cost, CostTable, cost, median
from benchmarks.cohort.ours import NAMES
from benchmarks.cohort.synthetic_archive import ArchiveSize
from benchmarks.measure import Goal
from client.archive import discover

TOUCHED_SHARE = 0.01
PYDICOM, PYDICOM_HEADERS = "pydicom.dcmread, whole files", "pydicom.dcmread, headers only"
FIRST_ALONE, FIRST, SECOND = "first scan, one process", "first scan", "second scan"
TOUCHED = "scan after 1 % was touched"


def scan_table(archive: Path, size: ArchiveSize, workers: int, turns: int) -> CostTable:
    """Median costs of scanning in turns, after one pass that brings every file into the page cache.

    Raises:
        ValueError: if a scan does not find the whole archive.
    """
    files = sorted(path for path in archive.rglob("*") if path.is_file())
    for path in files:
        path.read_bytes()
    found: dict[str, list[Cost]] = defaultdict(list)
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            scan = partial(_scan, archive, size, Path(folder) / "index")
            found[PYDICOM].append(cost(partial(_read_all, files)))
            found[PYDICOM_HEADERS].append(cost(partial(_read_all, files, stop_before_pixels=True)))
            found[FIRST_ALONE].append(cost(partial(_scan, archive, size, Path(folder) / "alone", 1)))
            found[FIRST].append(cost(partial(scan, workers)))
            found[SECOND].append(cost(partial(scan, workers)))
            _touch(files[:: round(1 / TOUCHED_SHARE)])
            found[TOUCHED].append(cost(partial(scan, workers)))
    return {name: median(costs) for name, costs in found.items()}


def scan_goals(costs: CostTable) -> list[Goal]:
    """What (a) must show, in wall time and in processor time."""
    goals = []
    for told, unit in (("wall", "wall_s"), ("CPU", "cpu_s")):
        taken = {name: getattr(spent, unit) for name, spent in costs.items()}
        ratio = taken[PYDICOM] / taken[FIRST]
        goals.append(Goal(f"(a) first scan against dcmread, {told} (>= 3)", f"{ratio:.1f}x", ratio >= 3))
        # Against our own first scan it would be bounded by listing folders and asking for the state of every file.
        share = taken[SECOND] / taken[PYDICOM_HEADERS]
        goals.append(
            Goal(f"(a) second scan against dcmread of headers, {told} (<= 5 %)", f"{share:.1%}", share <= 0.05)
        )
    return goals


def _scan(archive: Path, size: ArchiveSize, index: Path, workers: int) -> None:
    found = discover(archive, NAMES, index=index, workers=workers)
    if (len(found), sum(len(series.slices) for series in found)) != (size.series, size.files):
        raise ValueError("the scan did not find the whole archive")


def _read_all(files: list[Path], **how: Any) -> None:  # noqa: ANN401 - pydicom's own options
    for path in files:
        dcmread(path, **how)


def _touch(files: list[Path]) -> None:
    for path in files:
        os.utime(path)
