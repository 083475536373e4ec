"""Statistics from sums agree with the same statistics from raw values, and with published and slow references."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from common.exchange import MetricSums
from server.report.statistics import Estimate, difference, estimate, pool, random_effects

VALUES = st.lists(st.floats(-1500, 1500, allow_nan=False).map(lambda v: round(v, 6)), min_size=1, max_size=40)


def sums(values: list[float]) -> MetricSums:
    return MetricSums(cases=len(values), total=math.fsum(values), total_of_squares=math.fsum(v * v for v in values))


def centre(mean: float, standard_error: float, cases: int = 20) -> Estimate:
    return Estimate(cases=cases, mean=mean, sd=standard_error * math.sqrt(cases), ci=None)


def paule_mandel(means: np.ndarray, variances: np.ndarray) -> float:
    """τ² as the root of the generalised Q equation, by bisection: slow and plain."""

    def excess(tau2: float) -> float:
        w = 1 / (variances + tau2)
        return float((w * (means - (w * means).sum() / w.sum()) ** 2).sum() - (len(means) - 1))

    return 0.0 if excess(0) <= 0 else float(optimize.brentq(excess, 0, 1e6, xtol=1e-13))


def test_mean_sd_and_interval_equal_those_of_the_raw_values() -> None:
    values = np.random.default_rng(3).normal(22.3, 1.4, 27)
    low, high = stats.t.interval(0.95, 26, values.mean(), stats.sem(values))
    found = estimate(sums(values.tolist()))
    assert found.cases == 27
    assert found.mean == pytest.approx(values.mean(), rel=1e-13)
    assert found.sd == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert found.ci is not None
    assert (found.ci.low, found.ci.high) == pytest.approx((low, high), rel=1e-10)


def test_a_tiny_spread_around_a_large_mean_survives_cancellation() -> None:
    values = [1000.0 + i * 1e-4 for i in range(10)]
    assert estimate(sums(values)).sd == pytest.approx(np.std(values, ddof=1), rel=1e-2)


def test_a_single_case_has_a_mean_and_no_spread() -> None:
    found = estimate(sums([21.5]))
    assert (found.mean, found.sd, found.ci) == (21.5, None, None)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_pooling_sums_equals_statistics_of_the_concatenated_values(sites: list[list[float]]) -> None:
    everything = np.array([value for site in sites for value in site])
    found = estimate(pool(sums(site) for site in sites))
    assert found.cases == everything.size
    assert found.mean == pytest.approx(everything.mean(), rel=1e-9, abs=1e-9)
    if everything.size > 1:
        assert found.sd == pytest.approx(everything.std(ddof=1), rel=1e-6, abs=1e-4)


@given(st.lists(VALUES, min_size=2, max_size=5), st.randoms())
def test_the_order_of_sites_does_not_change_a_bit_of_the_pool(sites: list[list[float]], random) -> None:
    parts = [sums(site) for site in sites]
    shuffled = random.sample(parts, len(parts))
    assert pool(parts) == pool(shuffled)


def test_pooling_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to pool"):
        pool([])


def test_difference_is_method_minus_baseline() -> None:
    assert difference(centre(22.0, 0.2), centre(18.5, 0.2)) == 3.5


def test_random_effects_reproduce_metafor_on_kackers_data() -> None:
    # Data of Kacker, Metrologia 41:132, 2004; R metafor, rma(method = "PM"): 62.40762, SE 0.33803.
    means = [61.00, 61.40, 62.21, 62.30, 62.34, 62.60, 62.70, 62.84, 65.90]
    variances = [0.2025, 1.2100, 0.0900, 0.2025, 0.3844, 0.5625, 0.0676, 0.0225, 1.8225]
    found = random_effects([centre(m, math.sqrt(v)) for m, v in zip(means, variances, strict=True)])
    assert found is not None
    assert found.mean == pytest.approx(62.40762, abs=1e-5)
    assert (found.ci.high - found.mean) / stats.t.ppf(0.975, 8) == pytest.approx(0.33803, abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_random_effects_agree_with_the_slow_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(3, 9))
    errors = rng.uniform(0.1, 0.6, k)
    means = rng.normal(22, rng.uniform(0, 1.5), k)
    found = random_effects([centre(m, e) for m, e in zip(means, errors, strict=True)])
    assert found is not None
    tau2 = paule_mandel(means, errors**2)
    w = 1 / (errors**2 + tau2)
    mean = (w * means).sum() / w.sum()
    scale = max(1.0, (w * (means - mean) ** 2).sum() / (k - 1))
    half = stats.t.ppf(0.975, k - 1) * math.sqrt(scale / w.sum())
    assert found.tau2 == pytest.approx(tau2, rel=1e-3, abs=1e-6)
    assert found.mean == pytest.approx(mean, rel=1e-6)
    assert (found.ci.low, found.ci.high) == pytest.approx((mean - half, mean + half), rel=1e-4)
    fixed = 1 / errors**2
    q = (fixed * (means - (fixed * means).sum() / fixed.sum()) ** 2).sum()
    assert found.q == pytest.approx(q, rel=1e-9)
    assert found.i2_percent == pytest.approx(100 * max(0.0, (q - (k - 1)) / q), rel=1e-9, abs=1e-9)
    assert found.prediction is not None
    reach = stats.t.ppf(0.975, k - 2) * math.sqrt(tau2 + scale / w.sum())
    assert (found.prediction.low, found.prediction.high) == pytest.approx((mean - reach, mean + reach), rel=1e-3)


def test_equal_centres_have_no_heterogeneity_and_an_interval_that_does_not_vanish() -> None:
    found = random_effects([centre(22.0, 0.3)] * 3)
    assert found is not None
    assert (found.tau2, found.i2_percent) == (0.0, 0.0)
    assert found.ci.high - 22.0 == pytest.approx(stats.t.ppf(0.975, 2) * 0.3 / math.sqrt(3))


def test_two_centres_have_no_prediction_interval() -> None:
    found = random_effects([centre(22.0, 0.3), centre(23.0, 0.3)])
    assert found is not None
    assert found.prediction is None


@pytest.mark.parametrize(
    "centres",
    [
        [],
        [centre(22.0, 0.3)],
        [centre(22.0, 0.3), centre(23.0, 0.0)],
        [centre(22.0, 0.3), Estimate(cases=1, mean=23.0, sd=None, ci=None), centre(22.5, 0.2)],
    ],
)
def test_no_random_effects_where_a_standard_error_is_missing(centres: list[Estimate]) -> None:
    assert random_effects(centres) is None
