"""What sums over cases can be: of known methods and metrics, over the same cases, of values inside their bounds."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from common.exchange import EvaluateReply, MethodStatistics, MetricSums
from common.metrics import GENERATOR, METHOD_NAMES, MetricDefinition, metric_definitions
from common.plausibility.named_fault import Fault
from common.study import Study

# Relative rounding of float64 sums, for each case; of means, beside their bounds.
ROUNDING = 1e-12
TOLERANCE = 1e-6
# Squares below it may have come to zero.
_UNDERFLOW = 1e-290


def consistent(sums: MetricSums) -> bool:
    """Whether any real values can have these sums: n·Σx² ≥ (Σx)² (Cauchy–Schwarz), up to rounding."""
    squares = Fraction(sums.total_of_squares) * sums.cases
    return Fraction(sums.total) ** 2 <= squares * (1 + Fraction(ROUNDING) * sums.cases) + Fraction(_UNDERFLOW)


def sums_fault(sums: MetricSums, definition: MetricDefinition) -> str:
    """Why no values inside a metric's bounds can have these sums; empty where some can.

    Values in [a, b] have a mean there, n·Σx² ≥ (Σx)², and Σx² ≤ (a + b)·Σx − n·a·b, since (x − a)(b − x) ≥ 0.
    """
    low, high = definition.lowest, definition.highest
    slack = TOLERANCE * (1 + max(abs(low), abs(high)))
    if not low - slack <= sums.mean <= high + slack:
        return f"mean lies outside {low:g}..{high:g}"
    if not consistent(sums):
        return "sums of no real values: n·Σx² < (Σx)²"
    a, b, n = Fraction(low - slack), Fraction(high + slack), sums.cases
    if Fraction(sums.total_of_squares) > ((a + b) * Fraction(sums.total) - n * a * b) * (1 + Fraction(ROUNDING) * n):
        return f"sum of squares of no values in {low:g}..{high:g}"
    return ""


def evaluation_fault(reply: EvaluateReply, study: Study) -> Fault | None:
    """The first fault of an evaluation."""
    few = study.privacy.minimum_cases
    if reply.suppressed != (reply.cases < few):
        return Fault(f"statistics over fewer than {few} cases must be suppressed, and no others", "suppressed")
    if reply.suppressed:
        return Fault("suppressed reply holds statistics", "methods") if reply.methods else None
    return next(_faults(reply, study), None)


def _faults(reply: EvaluateReply, study: Study) -> Iterator[Fault]:
    names = [method.method for method in reply.methods]
    if set(names) - set(METHOD_NAMES):
        yield Fault("a method that this release does not know", "methods")
    if len(set(names)) < len(names):
        yield Fault("a method is named twice", "methods")
    if GENERATOR not in names:
        yield Fault("the generator is missing", "methods")
    known = {definition.name: definition for definition in metric_definitions(study)}
    for method in reply.methods:
        yield from _method_faults(method, reply.cases, known, study.privacy.minimum_cases)
    yield from _count_faults(reply, known)


def _method_faults(
    method: MethodStatistics, cases: int, known: dict[str, MetricDefinition], few: int
) -> Iterator[Fault]:
    for name, sums in method.metrics.items():
        if name not in known:
            yield Fault("a metric that this release does not know", f"{method.method}.metrics")
            continue
        where = f"{method.method}.{name}"
        if not few <= sums.cases <= cases:
            yield Fault(f"statistic over {sums.cases} of {cases} cases", where)
        if fault := sums_fault(sums, known[name]):
            yield Fault(fault, where)


def _count_faults(reply: EvaluateReply, known: dict[str, MetricDefinition]) -> Iterator[Fault]:
    """Metrics of one region of the truth count the same cases, whichever method; those of the whole volume all."""
    counts = {"volume": reply.cases}
    for method in reply.methods:
        for name, sums in method.metrics.items():
            region = known[name].region if name in known else ""
            if region and counts.setdefault(region, sums.cases) != sums.cases:
                what = f"{sums.cases} cases, others of the same region count {counts[region]}"
                yield Fault(what, f"{method.method}.{name}")
