from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from rich.console import Console

from benchmarks.measure import Goal
from benchmarks.quality.methods import CENTRALISED, LOCAL, Result
from benchmarks.quality.studies import FEDERATED
from benchmarks.quality.tables import goals, show_table

PERSONS = ("01", "02")
PSNR = {
    "mean volume": 19.0,
    "nearest DRR": 19.5,
    "ridge": 24.0,
    "mean volume + consistency": 24.5,
    "ridge + consistency": 25.0,
    "lifting": 26.0,
    "lifting + consistency": 27.0,
    "lifting GAN": 25.8,
    "lifting GAN + consistency": 27.0,
    "X2CT-GAN": 23.0,
    CENTRALISED: 27.0,
    FEDERATED: 26.8,
}


def results(changes: Mapping[str, float] | None = None, **metrics: float) -> dict[str, dict[str, list[Result]]]:
    values = PSNR | dict(changes or {})
    found = {name: {person: [one(name, value, metrics)] for person in PERSONS} for name, value in values.items()}
    found[f"{LOCAL}01"] = {"02": [one("", 26.0, metrics)]}
    found[f"{LOCAL}02"] = {"01": [one("", 26.2, metrics)]}
    found[f"{LOCAL}03"] = {person: [one("", 24.0, metrics)] for person in PERSONS}
    return found


def one(name: str, psnr_db: float, metrics: Mapping[str, float]) -> Result:
    sharp = 0.9 if name.startswith("lifting GAN") else 0.7
    brain = 20.0 if name.startswith("lifting") else 30.0
    base: dict[str, float | None] = {"ssim": psnr_db / 30, "mae_intracranial_hu": brain, "gradient_ratio": sharp}
    pose = base | {"psnr_db": psnr_db, "spectrum_distance_db": 4 - 2 * sharp} | metrics
    return Result([pose, pose], 60.0, 100, "")


def by_name(found: list[Goal]) -> dict[str, Goal]:
    return {goal.name: goal for goal in found}


def test_goals_are_met_where_every_margin_is_kept() -> None:
    found = goals(results(), PERSONS)
    assert [goal.name for goal in found if not goal.met] == []
    assert by_name(found)["over ridge + consistency"].figure == "+2 dB (goal +1.5)"


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"ridge + consistency": 26.0}, {"over ridge + consistency", "SSIM over ridge + consistency"}),
        ({"X2CT-GAN": 24.5}, {"over X2CT-GAN"}),
        ({FEDERATED: 26.65}, {"federated beside centralised"}),
        ({CENTRALISED: 26.6, FEDERATED: 26.55}, {"federated over the best site alone"}),
        ({"lifting GAN": 25.6}, {"cost of the game"}),
    ],
)
def test_each_goal_is_missed_by_its_own_margin(changes: dict[str, float], missed: set[str]) -> None:
    assert {goal.name for goal in goals(results(changes), PERSONS) if not goal.met} == missed


def test_a_gain_that_is_negative_in_one_fold_is_no_gain_in_every_fold() -> None:
    found = results()
    found["ridge + consistency"]["01"] = [one("", 27.5, {})]
    assert not by_name(goals(found, PERSONS))["positive in every fold"].met


def test_goals_of_methods_that_were_not_run_are_missed() -> None:
    found = results()
    del found["X2CT-GAN"], found[FEDERATED]
    missed = {goal.name for goal in goals(found, PERSONS) if not goal.met}
    assert missed == {"over X2CT-GAN", "federated beside centralised", "federated over the best site alone"}


def test_the_table_has_a_row_for_each_known_method_and_means_over_folds() -> None:
    written = io.StringIO()
    found = results()
    found["ridge"]["01"] = [one("", 22.0, {})]
    show_table(Console(file=written, width=300), found, PERSONS)
    (row,) = [line for line in written.getvalue().splitlines() if line.startswith("│ ridge  ")]
    cells = [cell.strip() for cell in row.split("│")]
    assert cells[2:5] == ["22.00", "24.00", "23.00 ± 1.41"]
    assert "–" in cells
