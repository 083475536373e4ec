"""Numbers keep their sign, precision and unit when they are printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.report.statistics import Interval
from server.report.wording import (
    amount,
    counted,
    duration,
    grouped,
    interval,
    listed,
    number,
    ranges,
    signed,
    significant,
)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(22.415, 2, "22.41"), (-0.4, 1, "−0.4"), (-0.001, 2, "0.00"), (None, 2, "–"), (1000, 0, "1000")],
)
def test_number_uses_a_true_minus_and_never_a_negative_zero(value: float | None, decimals: int, text: str) -> None:
    assert number(value, decimals) == text


@pytest.mark.parametrize(("value", "text"), [(0.5, "+0.50"), (-0.5, "−0.50"), (0.001, "0.00"), (-0.001, "0.00")])
def test_a_difference_shows_its_sign_unless_it_rounds_to_zero(value: float, text: str) -> None:
    assert signed(value, 2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (716.28, "720"),
        (99.6, "100"),
        (0.0016, "0.0016"),
        (9.01e-6, "9.0 × 10⁻⁶"),
        (26.4, "26"),
        (3e7, "3.0 × 10⁷"),
    ],
)
def test_two_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_interval_stands_in_brackets() -> None:
    assert interval(Interval(low=-1.25, high=2.0), 1) == "[−1.2, 2.0]"
    assert interval(None, 1) == "–"


@given(st.sets(st.integers(1, 60), min_size=1))
def test_ranges_name_every_round_once(numbers: set[int]) -> None:
    named: list[int] = []
    for part in ranges(numbers).split(", "):
        first, _, last = part.partition("–")
        named.extend(range(int(first), int(last or first) + 1))
    assert named == sorted(numbers)


def test_ranges_join_runs_of_three_and_more() -> None:
    assert ranges([5, 3, 4, 1, 8, 9]) == "1, 3–5, 8, 9"


def test_words_and_amounts() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert counted(1, "centre") == "1 centre"
    assert counted(2, "centre") == "2 centres"
    assert grouped(3184512) == "3\u202f184\u202f512"
    assert (amount(999), amount(52_400_000)) == ("999 B", "52.4 MB")
    assert (duration(42), duration(90), duration(3600), duration(11_100)) == ("42 s", "2 min", "1 h", "3 h 05 min")
