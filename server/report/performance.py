"""How well the generator did at each centre, against the baselines, and over the rounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.exchange import MetricSums
from common.metrics import GENERATOR, PRINCIPAL, MetricDefinition, method_order
from common.plausibility import sums_fault
from common.roles import Role
from server.report.recorded_run import RecordedRun
from server.report.results import (
    BaselineDifference,
    CentreDifference,
    CentreResult,
    CentreState,
    Change,
    Curve,
    CurvePoint,
    Evaluation,
    Heterogeneity,
    MethodResult,
    MetricResult,
    PooledMetric,
)
from server.report.statistics import difference, estimate, pool, random_effects
from server.rounds import Outcome, RoundRecord, SiteEvaluation

Sums = Mapping[str, Mapping[str, MetricSums]]
"""Sums by method, then metric."""


def evaluation_of(recorded: RecordedRun, role: Role, known: tuple[MetricDefinition, ...]) -> Evaluation:
    """Everything the records say of the performance at the registered centres of one role."""
    sites = [site.name for site in recorded.run.sites if site.role is role]
    ledger = _Usable(recorded, known)
    history = {record.round: ledger.round(record, sites) for record in recorded.rounds}
    reported = max((number for number, results in history.items() if results), default=None)
    results = history[reported] if reported is not None else {}
    record = next((r for r in recorded.rounds if r.round == reported), None)
    metrics = _ordered_metrics(results.values(), known)
    methods = sorted({method for sums in results.values() for method in sums}, key=method_order)
    return Evaluation(
        role=role,
        round=reported,
        generator_sha256=record.generator_sha256 if record else "",
        centres=tuple(_centre(site, results.get(site, {}), record, metrics) for site in sites),
        pooled=tuple(p for method in methods for m in metrics if (p := _pooled(results, method, m)) is not None),
        heterogeneity=tuple(_heterogeneity(results, metric) for metric in metrics),
        differences=tuple(
            d for b in methods if b != GENERATOR for m in metrics if (d := _difference(results, b, m)) is not None
        ),
        changes=tuple(c for m in PRINCIPAL if (c := _change(history, m)) is not None),
        curves=tuple(_curves(history, sites, methods)),
        set_aside=tuple(ledger.set_aside),
    )


class _Usable:
    """Sorts what sites reported into what can be used and what is set aside, with a line for each reason."""

    def __init__(self, recorded: RecordedRun, known: tuple[MetricDefinition, ...]) -> None:
        self._minimum = recorded.study.privacy.minimum_cases
        self._known = {definition.name: definition for definition in known}
        self.set_aside: list[str] = []

    def round(self, record: RoundRecord, sites: list[str]) -> dict[str, dict[str, dict[str, MetricSums]]]:
        """Sums by site, method and metric of one round; sites without any are left out."""
        found: dict[str, dict[str, dict[str, MetricSums]]] = {}
        for entry in record.evaluation:
            if entry.site in sites and entry.outcome is Outcome.ACCEPTED and not entry.suppressed:
                methods = {m.method: self._metrics(entry.site, record.round, m.metrics) for m in entry.methods}
                kept = {method: metrics for method, metrics in methods.items() if metrics}
                if kept:
                    found[entry.site] = kept
        return found

    def _metrics(self, site: str, number: int, metrics: Mapping[str, MetricSums]) -> dict[str, MetricSums]:
        faults = {name: fault for name, sums in metrics.items() if (fault := self._fault(name, sums))}
        self.set_aside.extend(f"{name} of {site} in round {number}: {fault}" for name, fault in faults.items())
        return {name: sums for name, sums in metrics.items() if name not in faults}

    def _fault(self, name: str, sums: MetricSums) -> str:
        definition = self._known.get(name)
        if definition is None:
            return "this release does not know it"
        if sums.cases < self._minimum:
            return f"fewer than {self._minimum} cases"
        return sums_fault(sums, definition)


def _ordered_metrics(results: Iterable[Sums], known: tuple[MetricDefinition, ...]) -> list[str]:
    present = {metric for sums in results for metrics in sums.values() for metric in metrics}
    names = [definition.name for definition in known]
    return [name for name in names if name in present] + sorted(present - set(names))


def _centre(site: str, sums: Sums, record: RoundRecord | None, metrics: list[str]) -> CentreResult:
    entry = next((e for e in record.evaluation if e.site == site), None) if record else None
    state, reason = _state(bool(sums), entry)
    return CentreResult(
        site=site,
        state=state,
        reason=reason,
        cases=entry.cases if entry else 0,
        methods=tuple(
            MethodResult(
                method=method,
                metrics=tuple(
                    MetricResult(metric=m, estimate=estimate(sums[method][m])) for m in metrics if m in sums[method]
                ),
            )
            for method in sorted(sums, key=method_order)
        ),
    )


def _state(has_results: bool, entry: SiteEvaluation | None) -> tuple[CentreState, str]:
    if has_results:
        return CentreState.EVALUATED, ""
    if entry is None:
        return CentreState.NO_RESULT, "not asked in this round"
    if entry.outcome is not Outcome.ACCEPTED:
        return CentreState.NO_RESULT, entry.reason or entry.outcome.value.replace("_", " ")
    if entry.suppressed:
        return CentreState.SUPPRESSED, "fewer cases than the study's minimum count"
    return CentreState.NO_RESULT, "no usable statistics"


def _values(results: Mapping[str, Sums], method: str, metric: str) -> dict[str, MetricSums]:
    """Sums of one metric by site."""
    return {s: sums[method][metric] for s, sums in results.items() if method in sums and metric in sums[method]}


def _pooled(results: Mapping[str, Sums], method: str, metric: str) -> PooledMetric | None:
    values = _values(results, method, metric)
    if not values:
        return None
    whole = estimate(pool(values.values()))
    return PooledMetric(
        method=method, metric=metric, centres=len(values), cases=whole.cases, mean=whole.mean, sd=whole.sd
    )


def _heterogeneity(results: Mapping[str, Sums], metric: str) -> Heterogeneity:
    estimates = [estimate(sums) for sums in _values(results, GENERATOR, metric).values()]
    return Heterogeneity(metric=metric, random_effects=random_effects(estimates))


def _difference(results: Mapping[str, Sums], baseline: str, metric: str) -> BaselineDifference | None:
    ours, theirs = _values(results, GENERATOR, metric), _values(results, baseline, metric)
    shared = [site for site in ours if site in theirs]
    if not shared:
        return None
    centres = (CentreDifference(site=s, value=difference(estimate(ours[s]), estimate(theirs[s]))) for s in shared)
    pooled = difference(estimate(pool(ours[s] for s in shared)), estimate(pool(theirs[s] for s in shared)))
    return BaselineDifference(baseline=baseline, metric=metric, centres=tuple(centres), pooled=pooled)


def _change(history: Mapping[int, Mapping[str, Sums]], metric: str) -> Change | None:
    rounds = [number for number, results in history.items() if _values(results, GENERATOR, metric)]
    if len(rounds) < 2:
        return None
    first, last = (_values(history[n], GENERATOR, metric) for n in (min(rounds), max(rounds)))
    shared = tuple(site for site in last if site in first)
    if not shared:
        return None
    before, after = (estimate(pool(values[s] for s in shared)).mean for values in (first, last))
    return Change(
        metric=metric, sites=shared, first_round=min(rounds), last_round=max(rounds), first=before, last=after
    )


def _curves(history: Mapping[int, Mapping[str, Sums]], sites: list[str], methods: list[str]) -> Iterable[Curve]:
    for metric in PRINCIPAL:
        for site in sites:
            for method in methods:
                points = tuple(
                    CurvePoint(round=number, value=estimate(values[site]).mean)
                    for number, results in history.items()
                    if site in (values := _values(results, method, metric))
                )
                if points:
                    yield Curve(site=site, method=method, metric=metric, points=points)
