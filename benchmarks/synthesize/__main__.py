"""``make bench-synthesize``: two films to a synthetic CT of 128³ on two cores, with and without pose refinement."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.measure import Goal, conclude, show
from benchmarks.synthesize.desk import lay_out
from benchmarks.synthesize.worth import centre_errors_mm

NOMINAL, REFINED = "nominal", "refined"
MOST_S = {NOMINAL: 5.0, REFINED: 20.0}
_SHOWN = ("fastest_s", "wall_s", "cpu_s", "first_s", "first_cpu_s")
PROTOCOL = (
    "tomoray-site synthesize on two virtual films of 1792 x 1536 pixels, configs/cranial-drr-128.toml, untrained "
    "weights, from the verification of the release to the folder on disk. Each turn in a process of its own, which "
    "synthesizes twice: the first time kernels are compiled, the second counts, once all is imported and compiled. "
    "The fastest turn counts, since other work on the machine only adds. What refinement is worth: distance across "
    "the beam of the head's middle from where it was filmed, over procedural heads posed within 5 degrees and 12 mm."
)


def main(
    turns: Annotated[int, typer.Option(help="Turns of each.")] = 3,
    threads: Annotated[int, typer.Option(help="Threads of each process.")] = 2,
    heads: Annotated[int, typer.Option(help="Heads that refinement is measured on.")] = 6,
) -> None:
    """Measure, print the tables, write results."""
    console = Console(width=150)
    found: dict[str, list[dict[str, float]]] = {NOMINAL: [], REFINED: []}
    with TemporaryDirectory() as place:
        lay_out(Path(place))
        for turn in range(turns):
            for way, runs in found.items():
                console.log(f"turn {turn + 1} of {turns}: {way}")
                runs.append(_run(Path(place), threads, way))
    figures: dict[str, Any] = {way: summary(runs) for way, runs in found.items()}
    columns = ["poses", "fastest s", "median s", "CPU-s", "first time s", "first time CPU-s"]
    rows = [[way, *(f"{one[name]:.2f}" for name in _SHOWN)] for way, one in figures.items()]
    show(console, f"A synthetic CT of 128³, {threads} threads", columns, rows)
    worth = centre_errors_mm(range(1, heads + 1))
    figures["middle, mm"] = {way: {"median": statistics.median(one), "most": max(one)} for way, one in worth.items()}
    rows = [[way, f"{one['median']:.1f}", f"{one['most']:.1f}"] for way, one in figures["middle, mm"].items()]
    show(
        console,
        f"The head's middle from where it is, {heads} heads, both views",
        ["poses", "median mm", "most mm"],
        rows,
    )
    conclude(console, "synthesize", goals(figures), figures, PROTOCOL, complete=turns >= 3 and heads >= 6)


def summary(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Over the turns: the fastest, medians, and what the first synthesis of a process takes."""
    return {
        "fastest_s": min(run["wall_s"] for run in runs),
        "wall_s": statistics.median(run["wall_s"] for run in runs),
        "cpu_s": statistics.median(run["cpu_s"] for run in runs),
        "first_s": min(run["first_s"] for run in runs),
        "first_cpu_s": statistics.median(run["first_cpu_s"] for run in runs),
    }


def goals(figures: Mapping[str, Mapping[str, float]]) -> list[Goal]:
    """What was aimed at."""
    named = {NOMINAL: "without refinement", REFINED: "with refinement"}
    seen = {way: figures[way]["fastest_s"] for way in named}
    return [
        Goal(named[way], f"{seen[way]:.1f} s (goal at most {most:.0f} s)", seen[way] <= most)
        for way, most in MOST_S.items()
    ]


def _run(folder: Path, threads: int, way: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.synthesize.worker", str(folder), str(threads), way]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    typer.run(main)
