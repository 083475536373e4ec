from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.exchange import MetricSums
from common.metrics import MetricDefinition, metric_definitions
from common.plausibility import consistent, sums_fault
from common.study import Study

RATIO = MetricDefinition(name="dice", label="Dice", lowest=0, highest=1, text="an overlap")
VALUES = st.lists(st.floats(-2000, 5000, allow_nan=False), min_size=1, max_size=30)


def sums(values: list[float]) -> MetricSums:
    return MetricSums(cases=len(values), total=sum(values), total_of_squares=sum(v * v for v in values))


@given(VALUES)
def test_sums_of_real_values_are_never_called_impossible(values: list[float]) -> None:
    assert consistent(sums(values))


def test_sums_that_no_real_values_have_are_found() -> None:
    assert not consistent(MetricSums(cases=10, total=200.0, total_of_squares=3999.0))
    assert consistent(MetricSums(cases=10, total=200.0, total_of_squares=4000.0))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_sums_of_values_inside_the_bounds_are_never_refused(values: list[float]) -> None:
    assert sums_fault(sums(values), RATIO) == ""


@pytest.mark.parametrize(
    ("total", "squares", "fault"),
    [
        (10.0, 10.0, ""),
        (10.0001, 10.0002, "mean"),
        (20.0, 40.0, "mean"),
        (-0.1, 0.01, "mean"),
        (5.0, 2.4, "no real values"),
        (5.0, 2.5, ""),
        (5.0, 5.0, ""),
        (5.0, 5.1, "sum of squares"),
    ],
)
def test_each_bound_holds_at_its_edge(total: float, squares: float, fault: str) -> None:
    found = sums_fault(MetricSums(cases=10, total=total, total_of_squares=squares), RATIO)
    assert (fault in found) if fault else not found


def test_every_metric_of_the_table_has_bounds_of_its_own(study: Study) -> None:
    for definition in metric_definitions(study):
        assert definition.highest - definition.lowest <= 2e4 or definition.name == "inventions_cm3", definition.name
