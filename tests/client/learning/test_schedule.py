from __future__ import annotations

from itertools import pairwise

import pytest

from client.learning.schedule import Schedule

SCHEDULE = Schedule(warmup_steps=4, total_steps=100)


def test_rate_rises_linearly_to_its_peak() -> None:
    assert [SCHEDULE.factor(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_rate_stays_flat_for_a_quarter_then_falls_all_the_way() -> None:
    factors = [SCHEDULE.factor(step) for step in range(4, 101)]
    assert factors[:22] == [1.0] * 22
    assert all(later < earlier for earlier, later in pairwise(factors[21:]))
    assert factors[-1] == pytest.approx(0.02)


def test_half_way_down_is_the_middle_of_the_cosine() -> None:
    assert SCHEDULE.decay(62) + SCHEDULE.decay(63) == pytest.approx(1.02, abs=1e-3)


def test_steps_beyond_the_run_keep_the_last_rate() -> None:
    assert SCHEDULE.factor(500) == SCHEDULE.factor(100)


def test_discriminators_rate_does_not_warm_up() -> None:
    assert SCHEDULE.decay(0) == 1.0


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert Schedule(warmup_steps=0, total_steps=10).factor(0) == 1.0
