"""Timing side by side, goals, tables and the file that a benchmark leaves behind."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
REPEATS = 5
ENOUGH_S = 30.0


@final
@dataclass(frozen=True)
class Goal:
    """One goal of a benchmark with what was seen."""

    name: str
    figure: str
    met: bool


@final
@dataclass(frozen=True)
class Timing:
    """Median of the repeats of one method, in milliseconds."""

    median_ms: float
    fastest_ms: float
    repeats: int


def interleaved(methods: Mapping[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, Timing]:
    """Time methods in turns, so that a noisy minute hurts all alike; the first turn warms up and does not count.

    A method that has taken 30 s in all drops out after two counted turns.
    """
    times: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(repeats + 1):
        for name, call in methods.items():
            if len(times[name]) >= 2 and sum(times[name]) > ENOUGH_S:
                continue
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: Timing(statistics.median(taken) * 1e3, min(taken) * 1e3, len(taken)) for name, taken in times.items()}


def peak_growth_bytes(call: Callable[[], object]) -> int:
    """How far the process's memory rises above its level while a call runs (Linux with glibc).

    What earlier calls have freed goes back to the system first, so that memory used again counts again.
    """
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status_bytes(status, "VmRSS")
    call()
    return _status_bytes(status, "VmHWM") - before


def show(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table; all columns but the first are figures."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def conclude(
    console: Console, name: str, goals: Sequence[Goal], figures: Mapping[str, Any], protocol: str, *, complete: bool
) -> bool:
    """Print the last line: whether every goal was met, then each with its figure. A complete run leaves NAME.json."""
    document = {
        "protocol": protocol,
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "goals": [asdict(goal) for goal in goals],
        "figures": figures,
    }
    if complete:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    met = all(goal.met for goal in goals)
    told = "; ".join(f"{goal.name} {goal.figure}{'' if goal.met else ' (missed)'}" for goal in goals)
    console.print(f"{name}: {'met' if met else 'missed'}: {told}", soft_wrap=True, highlight=False)
    return met


def processor() -> str:
    """The processor's name as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _status_bytes(status: Path, field: str) -> int:
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024
