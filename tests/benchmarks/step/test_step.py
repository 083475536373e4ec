from __future__ import annotations

from typing import Any

import pytest

from benchmarks.step.__main__ import goals, summary
from benchmarks.step.worker import LIFTING, X2CT, step_study


def run(step: float, sample: float, peak: float) -> dict[str, Any]:
    seconds = {"sample_s": [sample], "sample_cpu_s": [sample], "step_s": [step], "step_cpu_s": [step]}
    return {**seconds, "peak_bytes": peak, "parameters": 1}


def test_medians_are_taken_over_turns_and_the_greatest_peak_counts() -> None:
    found = summary([run(1.0, 0.1, 5.0), run(3.0, 0.3, 7.0), run(2.0, 0.2, 6.0)])
    assert (found["step_cpu_s"], found["sample_s"], found["peak_bytes"]) == (2.0, 0.2, 7.0)
    assert found["samples_share"] == pytest.approx(0.2 / 2.2)


@pytest.mark.parametrize(
    ("ours", "met"),
    [((10.0, 1.0, 2.0), [True, True, True]), ((10.5, 1.0, 2.0), [False, True, True]),
     ((10.0, 1.0, 2.1), [True, False, True]), ((10.0, 1.2, 2.0), [True, True, False])],
)  # fmt: skip
def test_goals_hold_at_their_margins(ours: tuple[float, float, float], met: list[bool]) -> None:
    figures = {LIFTING: summary([run(*ours)]), X2CT: summary([run(40.0, 1.0, 6.0)])}
    assert [goal.met for goal in goals(figures)] == met


def test_both_networks_play_the_game_on_one_grid_with_all_widening_on() -> None:
    ours, peer = step_study(LIFTING), step_study(X2CT)
    assert ours.grid == peer.grid
    assert ours.geometry == peer.geometry
    for study in (ours, peer):
        assert study.optimisation.adversarial_weight > 0
        assert study.optimisation.adversarial_from_step == 0
        assert all(value > 0 for value in study.widening.model_dump().values())
