from __future__ import annotations

import pytest

from benchmarks.synthesize.__main__ import NOMINAL, REFINED, goals, summary


def run(wall: float) -> dict[str, float]:
    return {"wall_s": wall, "cpu_s": 2 * wall, "first_s": wall + 9, "first_cpu_s": wall + 8}


def test_the_fastest_turn_counts_and_medians_stand_beside_it() -> None:
    found = summary([run(9.0), run(3.0), run(4.0)])
    assert found == {"fastest_s": 3.0, "wall_s": 4.0, "cpu_s": 8.0, "first_s": 12.0, "first_cpu_s": 12.0}


@pytest.mark.parametrize(
    ("nominal", "refined", "met"),
    [(5.0, 20.0, [True, True]), (5.1, 20.0, [False, True]), (5.0, 20.1, [True, False])],
)
def test_goals_hold_at_their_margins(nominal: float, refined: float, met: list[bool]) -> None:
    figures = {NOMINAL: summary([run(nominal)]), REFINED: summary([run(refined)])}
    assert [goal.met for goal in goals(figures)] == met
