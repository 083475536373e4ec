"""Processes of one site on one card: Gloo between two, NCCL with one; they start, end, and notice a death."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome
from benchmarks.measure import Goal

PROTOCOL = (
    "configs/cranial-drr-128.toml, batch of two, two rounds of six steps. Two processes share one card, gradients by "
    "Gloo; one process alone on it, gradients by NCCL. In a third run the second process is killed after a step. "
    "Alone: the same two rounds without ranks' exchange are those of NCCL's one."
)
SOON_S, PATIENCE_S = 40.0, 240.0


def measure(card: Card, *, tiny: bool) -> Outcome:
    """The three runs."""
    together = _run(card, 2, tiny=tiny)
    alone = _run(card, 1, tiny=tiny)
    hurt = _run(card, 2, tiny=tiny, kill=True)
    both = [one.get("sha256") for one in together["said"]]
    survivor = hurt["said"][0]
    noticed_s = hurt["noticed_s"]
    goals = [
        Goal("Gloo, two on one card", _ends(together), together["statuses"] == [0, 0] and _equal(both)),
        Goal("NCCL, one", _ends(alone), alone["statuses"] == [0]),
        Goal(
            "a death is noticed",
            f"after {noticed_s:.1f} s (goal {SOON_S:g}): {survivor.get('lost', 'not noticed')[:80]}",
            "lost" in survivor and noticed_s <= SOON_S,
        ),
    ]
    return Outcome(PROTOCOL, {"gloo": together, "nccl": alone, "killed": hurt}, goals)


def _ends(found: dict[str, Any]) -> str:
    return f"statuses {found['statuses']}, {found['wall_s']:.1f} s"


def _equal(hashes: list[str | None]) -> bool:
    return None not in hashes and len(set(hashes)) == 1


def _run(card: Card, count: int, *, tiny: bool, kill: bool = False) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tomoray-gpu-") as place:
        folder = Path(place)
        started = time.perf_counter()
        processes = [_started(folder, rank, count, card, tiny=tiny) for rank in range(count)]
        killed_at = started
        try:
            if kill:
                _await_step(folder / "step-1", processes)
                killed_at = time.perf_counter()
                processes[1].kill()
            texts = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        ended = time.perf_counter()
    return {
        "statuses": [process.returncode for process in processes],
        "wall_s": ended - started,
        "noticed_s": ended - killed_at,
        "said": [_said(text) for text in texts],
    }


def _started(folder: Path, rank: int, count: int, card: Card, *, tiny: bool) -> subprocess.Popen[str]:
    place = f"{card.device.type}:0" if card.device.type == "cuda" else "cpu"
    size = "tiny" if tiny else "whole"
    command = [sys.executable, "-m", "benchmarks.gpu.rank_process", str(folder), str(rank), str(count), place, size]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _await_step(path: Path, processes: list[subprocess.Popen[str]]) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while not path.exists():
        if time.perf_counter() > deadline or any(process.poll() is not None for process in processes):
            raise RuntimeError("the processes ended before their first step")
        time.sleep(0.02)


def _said(text: str) -> dict[str, Any]:
    lines = text.splitlines()
    said: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return said
