"""What a measurement found, and the file and the closing line that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from rich.console import Console

from benchmarks.gpu.card import Card
from benchmarks.measure import Goal


@final
@dataclass(frozen=True)
class Outcome:
    """One measurement.

    Attributes:
        protocol: what was done, in words.
        figures: what was seen; units in the names.
        goals: what was aimed at; empty where nothing was.
    """

    protocol: str
    figures: Mapping[str, Any]
    goals: Sequence[Goal] = field(default=())


def leave(name: str, outcome: Outcome, card: Card, command: str, folder: Path, *, tiny: bool = False) -> Path:
    """Write ``gpu-NAME.json`` into a folder, beside the others.

    Args:
        name: the measurement's.
        outcome: what it found.
        card: where.
        command: how to measure it again.
        folder: made where it is missing.
        tiny: whether sizes were those of a test: the file says so.
    """
    document = {
        "protocol": outcome.protocol,
        "machine": card.document(),
        "command": command,
        "goals": [asdict(goal) for goal in outcome.goals],
        "figures": outcome.figures,
    } | ({"tiny": True} if tiny else {})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"gpu-{name}.json"
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def conclude(console: Console, goals: Sequence[Goal]) -> bool:
    """Print the closing line: whether every goal was met, then each with its figure."""
    met = all(goal.met for goal in goals)
    told = "; ".join(f"{goal.name} {goal.figure}{'' if goal.met else ' (missed)'}" for goal in goals)
    console.print(
        f"gpu: {'met' if met else 'missed'}{': ' if told else ''}{told}", soft_wrap=True, highlight=False, markup=False
    )
    return met
