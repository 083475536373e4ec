"""Sums over cases, the only form in which a site's metrics may leave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from common.exchange import MethodStatistics, MetricSums
from common.metrics import CaseMetrics
from common.study import Study

MethodMetrics = Mapping[str, Sequence[CaseMetrics]]


def summarise(study: Study, results: MethodMetrics) -> tuple[MethodStatistics, ...]:
    """Sums and sums of squares of every metric by method.

    A metric counts the cases that have it. Over fewer cases than the study's ``privacy.minimum_cases`` a metric is left
    out, and so is a method that has none left.

    Args:
        study: privacy settings.
        results: one entry per case, by method.
    """
    methods = ((method, _sums(cases, study.privacy.minimum_cases)) for method, cases in results.items())
    return tuple(MethodStatistics(method=method, metrics=sums) for method, sums in methods if sums)


def _sums(cases: Sequence[CaseMetrics], few: int) -> dict[str, MetricSums]:
    sums: dict[str, MetricSums] = {}
    for field in fields(CaseMetrics):
        values = [float(value) for case in cases if (value := getattr(case, field.name)) is not None]
        if len(values) >= few:
            squares = sum(value * value for value in values)
            sums[field.name] = MetricSums(cases=len(values), total=sum(values), total_of_squares=squares)
    return sums
