"""The sentences say what the numbers say, bad news included."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from common.exchange import MethodStatistics, MetricSums
from common.roles import Role
from server.report.document import ReportDocument
from server.report.recorded_run import read_run
from server.rounds import Outcome, SiteTraining

Make = Callable[..., Any]


def document(written: Any) -> ReportDocument:
    return ReportDocument.of(read_run(written.directory))


def paragraph(found: ReportDocument, heading: str) -> str:
    return next(p.text for p in found.summary if p.heading == heading)


def test_results_name_the_window_the_values_and_the_baselines(demo: Any) -> None:
    text = paragraph(document(demo), "Results")
    values = demo.raw[12, "harbour", "generator", "psnr_db"] + demo.raw[12, "lakeside", "generator", "psnr_db"]
    assert "window −1000..1500 HU" in text
    assert f"PSNR {np.mean(values):.2f} dB" in text
    assert "58 cases of 2 centres" in text
    assert "3.30 dB above the baseline “mean volume”" in text


def test_a_generator_worse_than_its_baseline_is_said_to_be(make_run: Make) -> None:
    written = make_run(rounds=1)
    assert "BELOW the baseline “mean volume”" in paragraph(document(written), "Results")


def test_a_broken_separation_is_said_where_the_results_are(make_run: Make) -> None:
    written = make_run(rounds=2)
    record = written.rounds[1]
    trained = SiteTraining(site="harbour", outcome=Outcome.ACCEPTED, cases=24, steps=40)
    written.rounds[1] = record.model_copy(update={"training": (*record.training, trained)})
    written.write()
    assert "NOT shown: training entries name harbour" in paragraph(document(written), "Separation")


def test_a_run_without_held_out_centres_claims_no_external_evaluation(make_run: Make) -> None:
    found = document(make_run(rounds=2, held={}))
    assert "nothing here is an external evaluation" in paragraph(found, "Separation")
    assert "No held-out centre has reported" in paragraph(found, "Results")


def test_few_centres_are_said_to_make_the_spread_imprecise(make_run: Make) -> None:
    found = document(make_run(rounds=2, held={"harbour": 24, "lakeside": 34, "meadow": 18}))
    assert "With 3 centres τ² is very imprecise" in paragraph(found, "Between centres")
    assert any(line.startswith("3 held-out centres: τ², I²") for line in found.limitations)


def test_one_centre_gives_no_spread(make_run: Make) -> None:
    found = document(make_run(rounds=2, held={"harbour": 24}))
    assert "cannot be estimated" in paragraph(found, "Between centres")


@pytest.mark.parametrize(
    "expected",
    [
        "not complete: 3 of 4 planned",
        "without an average, which left the weights as they were: 2",
        "cut short",
        "islet",
    ],
)
def test_limitations_name_what_the_record_lacks(make_run: Make, expected: str) -> None:
    written = make_run(rounds=4)
    written.rounds[1] = written.rounds[1].model_copy(update={"aggregated": False})
    written.write()
    path = written.directory / "rounds.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert any(expected in line for line in document(written).limitations)


def test_limitations_name_what_was_set_aside(make_run: Make) -> None:
    written = make_run(rounds=1)
    record = written.rounds[0]
    impossible = MethodStatistics(
        method="generator", metrics={"ssim": MetricSums(cases=24, total=48.0, total_of_squares=96.0)}
    )
    entries = tuple(
        e.model_copy(update={"methods": (impossible,)}) if e.role is Role.EVALUATE and e.site == "harbour" else e
        for e in record.evaluation
    )
    written.rounds[0] = record.model_copy(update={"evaluation": entries})
    written.write()
    assert "Set aside: ssim of harbour in round 1: mean lies outside -1..1." in document(written).limitations
