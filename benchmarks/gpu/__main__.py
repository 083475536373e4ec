"""``make bench-gpu``: everything that needs a graphics card, one result a measurement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmarks.gpu import agreement, operations, processes, projector, quality, remedies, step, synthesis
from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome, conclude, leave
from benchmarks.measure import RESULTS, Goal

NAMES = ("agreement", "operations", "step", "remedies", "projector", "quality", "synthesis", "processes")


def main(
    names: Annotated[list[str] | None, typer.Argument(help="; ".join(NAMES) + "; all by default.")] = None,
    device: Annotated[str, typer.Option(help="cuda, or cpu at tiny sizes.")] = "cuda",
    tiny: Annotated[bool, typer.Option(help="Sizes of a test: 32³, few steps.")] = False,
    heads: Annotated[Path | None, typer.Option(help="Heads from `python -m benchmarks.gpu.heads`.")] = None,
    person: Annotated[str, typer.Option(help="Who is held out.")] = "03",
    seconds: Annotated[float, typer.Option(help="Training time of `quality`.")] = 600.0,
    results: Annotated[Path, typer.Option(help="Where results go.")] = RESULTS,
) -> None:
    """Measure, write a file each, and close with one line."""
    card = Card.of(torch.device(device))
    console = Console(width=150)
    measures: dict[str, Callable[[], Outcome]] = {
        "agreement": lambda: agreement.measure(card, tiny=tiny),
        "operations": lambda: operations.measure(tiny=tiny),
        "step": lambda: step.measure(card, tiny=tiny),
        "remedies": lambda: remedies.measure(card, tiny=tiny),
        "projector": lambda: projector.measure(card, tiny=tiny),
        "quality": lambda: quality.measure(
            card, tiny=tiny, folder=heads, person=person, seconds=seconds, results=results
        ),
        "synthesis": lambda: synthesis.measure(card, tiny=tiny),
        "processes": lambda: processes.measure(card, tiny=tiny),
    }
    goals: list[Goal] = []
    for name in names or NAMES:
        console.log(name)
        outcome = measures[name]()
        extra = f" --heads FOLDER --person {person} --seconds {seconds:g}" if name == "quality" else ""
        command = f"python -m benchmarks.gpu {name} --device {device}{extra}"
        path = leave(name, outcome, card, command, results, tiny=tiny)
        console.print(f"{name}: {path.name}", highlight=False)
        goals += outcome.goals
    conclude(console, goals)


if __name__ == "__main__":
    typer.run(main)
