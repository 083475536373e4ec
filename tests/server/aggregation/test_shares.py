from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.aggregation.shares import capped_shares

WANTED = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**6).map(float), min_size=1)


@given(WANTED, st.floats(0.05, 1))
def test_no_site_counts_more_than_its_share_and_none_is_silenced(wanted: dict[str, float], most: float) -> None:
    shares = capped_shares(wanted, most)
    total = math.fsum(shares.values())
    assert max(shares.values()) / total <= max(most, 1 / len(wanted)) * (1 + 1e-9)
    assert min(shares.values()) > 0
    by_claim = sorted(wanted, key=wanted.__getitem__)
    assert [shares[site] for site in by_claim] == pytest.approx(sorted(shares.values()))


@given(WANTED)
def test_where_no_site_is_above_nothing_changes(wanted: dict[str, float]) -> None:
    assert capped_shares(wanted, 1.0) == wanted


def test_what_is_taken_from_the_largest_falls_to_the_others_in_proportion() -> None:
    shares = capped_shares({"a": 10.0**6, "b": 2.0, "c": 6.0}, 0.5)
    total = sum(shares.values())
    assert [round(shares[site] / total, 12) for site in "abc"] == [0.5, 0.125, 0.375]


def test_two_of_them_can_be_too_large() -> None:
    shares = capped_shares({"a": 900.0, "b": 800.0, "c": 1.0, "d": 1.0}, 0.4)
    total = sum(shares.values())
    assert [round(shares[site] / total, 12) for site in "abcd"] == [0.4, 0.4, 0.1, 0.1]
