"""The shapes of results: estimates per centre and method, pooled values, differences and curves."""

from __future__ import annotations

from enum import StrEnum
from typing import final

from pydantic import BaseModel, ConfigDict, FiniteFloat

from common.roles import Role
from server.report.statistics import Estimate, RandomEffects


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CentreState(StrEnum):
    """Whether a centre has results in the round reported."""

    EVALUATED = "evaluated"
    SUPPRESSED = "suppressed"
    NO_RESULT = "no_result"


@final
class MetricResult(_Part):
    """One metric of one method at one centre."""

    metric: str
    estimate: Estimate


@final
class MethodResult(_Part):
    """All metrics of one method at one centre."""

    method: str
    metrics: tuple[MetricResult, ...]

    def estimate(self, metric: str) -> Estimate | None:
        """The metric's estimate, if the centre reported one."""
        return next((result.estimate for result in self.metrics if result.metric == metric), None)


@final
class CentreResult(_Part):
    """A centre in the round reported. ``reason`` says why there is no result."""

    site: str
    state: CentreState
    reason: str
    cases: int
    methods: tuple[MethodResult, ...]

    def estimate(self, method: str, metric: str) -> Estimate | None:
        """The estimate of a metric, if the centre reported one."""
        return next((result.estimate(metric) for result in self.methods if result.method == method), None)


@final
class PooledMetric(_Part):
    """A metric over the cases of all centres, each case counting once: exact, and blind to clustering by centre."""

    method: str
    metric: str
    centres: int
    cases: int
    mean: FiniteFloat
    sd: FiniteFloat | None


@final
class Heterogeneity(_Part):
    """The generator's metric over a population of centres; ``none`` where fewer than two centres allow it."""

    metric: str
    random_effects: RandomEffects | None


@final
class CentreDifference(_Part):
    """Mean of the generator minus mean of a baseline at one centre."""

    site: str
    value: FiniteFloat


@final
class BaselineDifference(_Part):
    """Generator minus baseline in one metric: per centre, and over the pooled cases of these centres."""

    baseline: str
    metric: str
    centres: tuple[CentreDifference, ...]
    pooled: FiniteFloat


@final
class Change(_Part):
    """The generator's pooled mean in the first and the reported round, over centres that have both."""

    metric: str
    sites: tuple[str, ...]
    first_round: int
    last_round: int
    first: FiniteFloat
    last: FiniteFloat


@final
class CurvePoint(_Part):
    """A value in one round."""

    round: int
    value: FiniteFloat


@final
class Curve(_Part):
    """A mean over the rounds at one centre."""

    site: str
    method: str
    metric: str
    points: tuple[CurvePoint, ...]


@final
class Evaluation(_Part):
    """Results of the centres of one role.

    Attributes:
        round: the round reported, the last with a result; none if there is no result at all.
        generator_sha256: the weights evaluated in that round.
        centres: every registered centre of the role.
        set_aside: statistics left out because no real values can have them, or too few cases stand behind them.
    """

    role: Role
    round: int | None
    generator_sha256: str
    centres: tuple[CentreResult, ...]
    pooled: tuple[PooledMetric, ...]
    heterogeneity: tuple[Heterogeneity, ...]
    differences: tuple[BaselineDifference, ...]
    changes: tuple[Change, ...]
    curves: tuple[Curve, ...]
    set_aside: tuple[str, ...]

    def pooled_metric(self, method: str, metric: str) -> PooledMetric | None:
        """The pooled value of a metric, if there is one."""
        return next((p for p in self.pooled if (p.method, p.metric) == (method, metric)), None)
