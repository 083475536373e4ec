"""Means, intervals and heterogeneity from sufficient statistics: no value of a single case is ever needed.

Every site sends n, Σx and Σx² of each metric; mean and standard deviation over any set of sites follow exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import final

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from common.exchange import MetricSums

CONFIDENCE = 0.95
MINIMUM_CENTRES = 2


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class Interval(_Result):
    """A two-sided interval."""

    low: FiniteFloat
    high: FiniteFloat


@final
class Estimate(_Result):
    """One metric over the cases of one centre.

    Attributes:
        cases: number of cases.
        mean: arithmetic mean.
        sd: standard deviation with n − 1; none for a single case.
        ci: 95 % confidence interval of the mean by Student's t with n − 1 degrees of freedom; none for a single case.
    """

    cases: int
    mean: FiniteFloat
    sd: FiniteFloat | None
    ci: Interval | None


@final
class RandomEffects(_Result):
    """A metric's mean over a population of centres, with the spread between them.

    Attributes:
        centres: number of centres.
        mean: random-effects mean, weights 1 / (SE² + τ²).
        ci: 95 % Hartung–Knapp interval, t with k − 1 degrees of freedom, never narrower than the unscaled variance
            allows (Röver, Knapp and Friede, BMC Med Res Methodol 15:99, 2015).
        prediction: 95 % prediction interval for the mean of a further centre, t with k − 2 degrees of freedom (Higgins,
            Thompson and Spiegelhalter, J R Stat Soc A 172:137, 2009); none below three centres.
        tau2: variance between centres, Paule and Mandel, in the metric's unit squared.
        i2_percent: share of the variance between centre means that is not within-centre error.
        q: Cochran's Q.
    """

    centres: int
    mean: FiniteFloat
    ci: Interval
    prediction: Interval | None
    tau2: FiniteFloat
    i2_percent: FiniteFloat
    q: FiniteFloat


def pool(parts: Iterable[MetricSums]) -> MetricSums:
    """Sums over the cases of several sites; each sum is rounded once, so the order of sites does not matter.

    Raises:
        ValueError: if there is no part.
    """
    held = tuple(parts)
    if not held:
        raise ValueError("nothing to pool")
    # Unchecked, because the bounds of MetricSums are those of one site's message.
    return MetricSums.model_construct(
        cases=sum(part.cases for part in held),
        total=math.fsum(part.total for part in held),
        total_of_squares=math.fsum(part.total_of_squares for part in held),
    )


def estimate(sums: MetricSums) -> Estimate:
    """Mean, SD and 95 % CI of the mean; the variance is computed from the sums in exact arithmetic."""
    mean = sums.mean
    if sums.cases == 1:
        return Estimate(cases=1, mean=mean, sd=None, ci=None)
    spread = Fraction(sums.total_of_squares) - Fraction(sums.total) ** 2 / sums.cases
    sd = math.sqrt(max(float(spread), 0.0) / (sums.cases - 1))
    half = _t_quantile(sums.cases - 1) * sd / math.sqrt(sums.cases)
    return Estimate(cases=sums.cases, mean=mean, sd=sd, ci=Interval(low=mean - half, high=mean + half))


def difference(method: Estimate, baseline: Estimate) -> float:
    """Difference of two means. The pairing within cases stays at the site, so no interval can be given."""
    return method.mean - baseline.mean


def random_effects(centres: Sequence[Estimate]) -> RandomEffects | None:
    """Random-effects mean over centres; none unless at least two centres have a standard error above zero."""
    usable = [(c.mean, c.sd**2 / c.cases) for c in centres if c.sd is not None and c.sd > 0]
    if len(usable) < MINIMUM_CENTRES or len(usable) < len(centres):
        return None
    means, variances = np.array(usable, dtype=np.float64).T
    # statsmodels divides by Q for an I² of its own, which is not used here; Q may be zero.
    with np.errstate(divide="ignore", invalid="ignore"):
        combined = combine_effects(means, variances, method_re="iterated", use_t=True, maxiter=500)
    mean, tau2, q, k = float(combined.mean_effect_re), float(combined.tau2), float(combined.q), len(usable)
    error2 = float(combined.var_eff_w_re) * max(1.0, float(combined.scale_hksj_re))
    half = _t_quantile(k - 1) * math.sqrt(error2)
    return RandomEffects(
        centres=k,
        mean=mean,
        ci=Interval(low=mean - half, high=mean + half),
        prediction=_prediction(mean, tau2 + error2, k),
        tau2=tau2,
        i2_percent=100 * max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0,
        q=max(q, 0.0),
    )


def _prediction(mean: float, variance: float, centres: int) -> Interval | None:
    if centres <= MINIMUM_CENTRES:
        return None
    half = _t_quantile(centres - 2) * math.sqrt(variance)
    return Interval(low=mean - half, high=mean + half)


def _t_quantile(degrees: int) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))
