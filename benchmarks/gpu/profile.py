"""What a card does in a few training steps, and what it waits for."""

from __future__ import annotations

import time
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.gpu.card import Card
from benchmarks.gpu.studies import procedural_case
from client.learning import Players, Samples
from common.study import Study

LONGEST = 12
WARM_STEPS = 2


def profiled(study: Study, card: Card, steps: int) -> dict[str, Any]:
    """A few steps under PyTorch's profiler.

    Returns:
        ``busy_share``: seconds of kernels over wall seconds, both under the profiler; ``kernels_per_step``; and the
        kernels and the operations that took longest, in ms a step. Without a card, operations alone.
    """
    players = Players(study, card.device)
    samples = iter(Samples(study, [procedural_case(study, number + 1) for number in range(2)], 1, card.device))
    for number in range(WARM_STEPS):
        players.step(next(samples), number)
    card.wait()
    on_card = card.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_card else [])
    start = time.perf_counter()
    with profile(activities=activities, acc_events=True) as seen:
        for number in range(steps):
            with record_function("samples"):
                batch = next(samples)
            with record_function("step"):
                players.step(batch, number)
        card.wait()
        wall_s = time.perf_counter() - start
    kernels: dict[str, list[float]] = {}
    for event in seen.events() or []:
        if event.device_type.name == "CUDA" and event.name not in ("samples", "step"):
            kernels.setdefault(event.name, []).append(event.device_time_total / 1e3)
    operations = {
        event.key: event.self_cpu_time_total / 1e3 for event in seen.key_averages() if event.device_type.name == "CPU"
    }
    busy_ms = sum(sum(taken) for taken in kernels.values())
    return {
        "busy_share": busy_ms / 1e3 / wall_s,
        "busy_ms_per_step": busy_ms / steps,
        "profiled_step_ms": wall_s * 1e3 / steps,
        "kernels_per_step": sum(map(len, kernels.values())) / steps,
        "longest_kernels_ms_per_step": _longest({name: sum(taken) for name, taken in kernels.items()}, steps),
        "longest_operations_cpu_ms_per_step": _longest(operations, steps),
    }


def _longest(taken_ms: dict[str, float], steps: int) -> dict[str, float]:
    longest = sorted(taken_ms.items(), key=lambda one: -one[1])[:LONGEST]
    return {name[:120]: round(taken / steps, 4) for name, taken in longest}
