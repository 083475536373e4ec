"""The attack on membership: its AUC beside a plain count, chance where nothing tells, certainty where all does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.membership.attack import attacked, auc

ERRORS = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=12)


@given(ERRORS, ERRORS)
def test_the_auc_is_the_share_of_pairs_that_the_member_wins(members: list[float], strangers: list[float]) -> None:
    won = [1.0 if m < s else 0.5 if m == s else 0.0 for m, s in itertools.product(members, strangers)]
    assert auc(np.array(members), np.array(strangers)) == pytest.approx(sum(won) / len(won))


def test_errors_of_one_kind_tell_nothing_and_errors_apart_tell_all() -> None:
    random = np.random.default_rng(3)
    same = attacked(random.normal(40, 5, 200), random.normal(40, 5, 200))
    assert same.low < 0.5 < same.high
    apart = attacked(random.normal(30, 1, 12), random.normal(60, 1, 48))
    assert (apart.auc, apart.low, apart.high) == (1.0, 1.0, 1.0)
    assert apart.members_hu < apart.strangers_hu
