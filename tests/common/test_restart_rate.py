"""A rate of restarts is never used up by age."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.restart_rate import RestartRate


def test_ends_far_apart_never_use_it_up() -> None:
    times = iter(range(0, 10**7, 3601))
    rate = RestartRate(5, 3600.0, lambda: float(next(times)))
    assert all(rate.allows() for _ in range(1000))


def test_the_next_one_within_the_hour_is_one_too_many_and_an_hour_later_it_is_not() -> None:
    now = [0.0]
    rate = RestartRate(5, 3600.0, lambda: now[0])
    for second in (0.0, 1.0, 2.0, 3.0, 4.0):
        now[0] = second
        assert rate.allows()
    now[0] = 3599.9
    assert not rate.allows()
    now[0] = 3600.0
    assert rate.allows()
    assert not rate.allows()


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=60), st.integers(1, 5))
def test_no_stretch_holds_more_starts_than_are_allowed(gaps: list[float], most: int) -> None:
    """Against counting: the start that comes ``most`` starts after another is at least the stretch later."""
    now, started = [0.0], []
    rate = RestartRate(most, 500.0, lambda: now[0])
    for gap in gaps:
        now[0] += gap
        if rate.allows():
            started.append(now[0])
    assert all(later - earlier >= 500.0 for earlier, later in zip(started, started[most:], strict=False))
