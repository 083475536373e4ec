"""A training step at 128³, lifting beside X2CT, in bfloat16 and float32: cases a second, memory, and idle time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.profile import profiled
from benchmarks.gpu.studies import procedural_case, shipped
from benchmarks.measure import Goal
from benchmarks.step.worker import LIFTING, X2CT
from client.learning import Players, Samples
from common.study import Study

PROTOCOL = (
    "configs/cranial-drr-128.toml, batch of two, generator and discriminator both stepping, four procedural heads; "
    "X2CT with the losses of its paper. Steps follow each other as in a round; the share of samples is the time that a "
    "step waits for its batch, the card waited for on either side, in turns of their own. Medians."
)
STEPS, WARM_STEPS, PROFILED_STEPS, CASES = 12, 4, 4, 4
MOST_TIME, MOST_MEMORY, MOST_SAMPLES = 1 / 4, 1 / 3, 0.10


def measure(card: Card, *, tiny: bool) -> Outcome:
    """Every network in both precisions, as shipped and with every widening."""
    steps = 2 if tiny else STEPS
    figures: dict[str, Any] = {}
    for precision in ("bfloat16", "float32"):
        for network in (LIFTING,) if tiny else (LIFTING, X2CT):
            for widened in (False, True):
                name = f"{network}, {precision}{', widened' if widened else ''}"
                study = shipped(tiny=tiny, network=network, widened=widened, mixed_precision=precision == "bfloat16")
                figures[name] = timed(study, card, steps) | profiled(study, card, 2 if tiny else PROFILED_STEPS)
    return Outcome(PROTOCOL, figures, [] if tiny else goals(figures))


def timed(study: Study, card: Card, steps: int) -> dict[str, float]:
    """Seconds of steps in their own time, and of samples and steps apart; cases a second; peak bytes."""
    card.forget_peak()
    players = Players(study, card.device)
    samples = iter(Samples(study, [procedural_case(study, number + 1) for number in range(CASES)], 1, card.device))
    for number in range(WARM_STEPS):
        players.step(next(samples), number)
    card.wait()
    start = time.perf_counter()
    skipped = sum(players.step(next(samples), number) is None for number in range(steps))
    card.wait()
    round_s = (time.perf_counter() - start) / steps
    sample_s, step_s = [], []
    for number in range(steps):
        start = time.perf_counter()
        batch = next(samples)
        card.wait()
        drawn = time.perf_counter()
        players.step(batch, number)
        card.wait()
        sample_s.append(drawn - start)
        step_s.append(time.perf_counter() - drawn)
    sample, step = statistics.median(sample_s), statistics.median(step_s)
    return {
        "cases_per_s": study.optimisation.batch_size / round_s,
        "sample_ms": sample * 1e3,
        "step_ms": step * 1e3,
        "round_step_ms": round_s * 1e3,
        "samples_share": sample / (sample + step),
        "peak_bytes": card.peak_bytes(),
        "skipped_steps": skipped,
    }


def goals(figures: Mapping[str, Mapping[str, Any]]) -> list[Goal]:
    """What was aimed at on the CPU holds here: bfloat16, and every widening for the samples."""
    ours, peer = (figures[f"{network}, bfloat16"] for network in (LIFTING, X2CT))
    time_share, memory_share = ours["round_step_ms"] / peer["round_step_ms"], ours["peak_bytes"] / peer["peak_bytes"]
    samples = figures[f"{LIFTING}, bfloat16, widened"]["samples_share"]
    return [
        Goal("time beside X2CT", f"{time_share:.2f} (goal at most {MOST_TIME:.2f})", time_share <= MOST_TIME),
        Goal("memory beside X2CT", f"{memory_share:.2f} (goal at most {MOST_MEMORY:.2f})", memory_share <= MOST_MEMORY),
        Goal("samples' share, widened", f"{samples:.1%} (goal below {MOST_SAMPLES:.0%})", samples < MOST_SAMPLES),
    ]
