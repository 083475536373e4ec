"""Wall and processor time of calls, their children's with it."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import psutil


@final
@dataclass(frozen=True)
class Cost:
    """What a call took, in seconds.

    Attributes:
        wall_s: from call to return.
        cpu_s: processor time of this process and its children, ended or not, in all threads.
    """

    wall_s: float
    cpu_s: float


CostTable = dict[str, Cost]


def cost(call: Callable[[], object]) -> Cost:
    """Call once and measure."""
    wall_s, cpu_s = time.perf_counter(), _cpu_s()
    call()
    return Cost(time.perf_counter() - wall_s, _cpu_s() - cpu_s)


def median(costs: Sequence[Cost]) -> Cost:
    """Median wall and median processor time."""
    return Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))


def interleaved_costs(methods: Mapping[str, Callable[[], object]], turns: int) -> CostTable:
    """Medians of calls in turns, so that a noisy minute hurts all alike; the first turn warms up and does not count."""
    taken: dict[str, list[Cost]] = {name: [] for name in methods}
    for turn in range(turns + 1):
        for name, call in methods.items():
            spent = cost(call)
            if turn:
                taken[name].append(spent)
    return {name: median(costs) for name, costs in taken.items()}


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    running = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        running += times.user + times.system
    return sum(usage.ru_utime + usage.ru_stime for usage in spent) + running
