from __future__ import annotations

import pytest

from benchmarks.robustness.aims import MENDED, fit_goals, sd_goals
from benchmarks.robustness.calibration import Calibration
from benchmarks.robustness.mismatch import EXACT

PLAIN = {EXACT: 26.0} | dict.fromkeys(MENDED, 24.0)


def test_the_fit_must_lose_less_and_cost_little() -> None:
    better = {EXACT: 25.9} | dict.fromkeys(MENDED, 25.0)
    assert [goal.met for goal in fit_goals("network", PLAIN, better)] == [True, True, True, True]
    assert [goal.met for goal in fit_goals("network", PLAIN, PLAIN)] == [False, False, False, True]
    dear = {EXACT: 25.0} | dict.fromkeys(MENDED, 24.9)
    assert [goal.met for goal in fit_goals("network", PLAIN, dear)] == [True, True, True, False]


def test_every_mended_mismatch_is_one_of_the_table() -> None:
    assert MENDED == ("gain 1.05", "bone 30% denser", "scatter of 10%")


@pytest.mark.parametrize(
    ("shares", "errors", "met"),
    [
        ((0.757, 0.941), (1.0, 2.0), [True, True, True]),
        ((0.60, 0.941), (1.0, 2.0), [False, True, True]),
        ((0.757, 0.999), (1.0, 2.0), [True, False, True]),
        ((0.757, 0.941), (2.0, 1.0), [True, True, False]),
    ],
)
def test_the_sd_must_hold_its_shares_and_the_error_rise_with_it(
    shares: tuple[float, float], errors: tuple[float, ...], met: list[bool]
) -> None:
    found = Calibration(*shares, sd_hu=errors, error_hu=errors)
    assert [goal.met for goal in sd_goals(found, "laplace")] == met
