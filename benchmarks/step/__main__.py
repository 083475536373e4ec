"""``make bench-step``: a training step at 128³, lifting beside X2CT, in turns, each turn in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.measure import Goal, conclude, show
from benchmarks.step.worker import LIFTING, X2CT

PROTOCOL = (
    "configs/cranial-drr-128.toml, batch 1, generator and discriminator both stepping, every widening switched on; "
    "X2CT with the losses of its paper. Networks in turns, each turn a new process with one step that does not count. "
    "Medians; the share of samples is the loader, widening and radiographs in loader, widening, radiographs and step."
)
MOST_TIME, MOST_MEMORY, MOST_SAMPLES = 1 / 4, 1 / 3, 0.10


def main(
    steps: Annotated[int, typer.Option(help="Counted steps of a turn.")] = 2,
    turns: Annotated[int, typer.Option(help="Turns of each network.")] = 2,
    threads: Annotated[int, typer.Option(help="Threads of each process.")] = 1,
) -> None:
    """Measure, print the table, write results."""
    console = Console(width=150)
    found: dict[str, list[dict[str, Any]]] = {LIFTING: [], X2CT: []}
    for turn in range(turns):
        for network, runs in found.items():
            console.log(f"turn {turn + 1} of {turns}: {network}")
            runs.append(_run(network, steps, threads))
    figures = {network: summary(runs) for network, runs in found.items()}
    rows = [
        [
            network,
            f"{one['parameters'] / 1e6:.1f} M",
            f"{one['step_s']:.2f}",
            f"{one['step_cpu_s']:.2f}",
            f"{one['sample_s']:.2f}",
            f"{one['samples_share']:.1%}",
            f"{one['peak_bytes'] / 1e9:.2f}",
        ]
        for network, one in figures.items()
    ]
    columns = ["network", "parameters", "step s", "step CPU-s", "sample s", "samples' share", "peak GB"]
    show(console, f"One training step at 128³, {threads} thread(s)", columns, rows)
    conclude(console, "step", goals(figures), figures, PROTOCOL, complete=turns >= 2)


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Medians over all counted steps, and the greatest peak."""
    medians = {
        name: statistics.median(value for run in runs for value in run[name])
        for name in ("sample_s", "sample_cpu_s", "step_s", "step_cpu_s")
    }
    share = medians["sample_cpu_s"] / (medians["sample_cpu_s"] + medians["step_cpu_s"])
    peak = max(run["peak_bytes"] for run in runs)
    return medians | {"samples_share": share, "peak_bytes": peak, "parameters": runs[0]["parameters"]}


def goals(figures: Mapping[str, Mapping[str, float]]) -> list[Goal]:
    """What was aimed at."""
    ours, peer = figures[LIFTING], figures[X2CT]
    time_share, memory_share = ours["step_cpu_s"] / peer["step_cpu_s"], ours["peak_bytes"] / peer["peak_bytes"]
    samples = ours["samples_share"]
    return [
        Goal("time beside X2CT", f"{time_share:.2f} (goal at most {MOST_TIME:.2f})", time_share <= MOST_TIME),
        Goal("memory beside X2CT", f"{memory_share:.2f} (goal at most {MOST_MEMORY:.2f})", memory_share <= MOST_MEMORY),
        Goal("samples' share", f"{samples:.1%} (goal below {MOST_SAMPLES:.0%})", samples < MOST_SAMPLES),
    ]


def _run(network: str, steps: int, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.step.worker", network, str(steps), str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    typer.run(main)
