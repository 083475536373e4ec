"""Results per centre equal those of the raw values, and what cannot be used is set aside and said."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from common.exchange import MetricSums
from common.metrics.definitions import metric_definitions
from common.roles import Role
from server.report.performance import evaluation_of
from server.report.recorded_run import read_run
from server.report.results import CentreState, Evaluation
from server.rounds import Outcome

Make = Callable[..., Any]


def evaluated(written: Any, role: Role = Role.EVALUATE) -> Evaluation:
    recorded = read_run(written.directory)
    return evaluation_of(recorded, role, metric_definitions(recorded.study))


def with_metric(written: Any, number: int, site: str, metric: str, sums: MetricSums) -> None:
    """Replaces one metric of the generator in the records."""
    record = written.rounds[number - 1]
    entries = []
    for entry in record.evaluation:
        if entry.site == site:
            first = entry.methods[0]
            changed = first.model_copy(update={"metrics": first.metrics | {metric: sums}})
            entry = entry.model_copy(update={"methods": (changed, *entry.methods[1:])})
        entries.append(entry)
    written.rounds[number - 1] = record.model_copy(update={"evaluation": tuple(entries)})
    written.write()


def test_every_estimate_equals_that_of_the_raw_values(demo: Any) -> None:
    found = evaluated(demo)
    assert found.round == 12
    checked = 0
    for centre in found.centres:
        for method in centre.methods:
            for result in method.metrics:
                values = np.array(demo.raw[12, centre.site, method.method, result.metric])
                assert result.estimate.mean == pytest.approx(values.mean(), rel=1e-12)
                assert result.estimate.sd == pytest.approx(values.std(ddof=1), rel=1e-6)
                checked += 1
    assert checked == 2 * 3 * 9


def test_pooled_values_are_those_of_all_cases_together(demo: Any) -> None:
    found = evaluated(demo).pooled_metric("generator", "psnr_db")
    values = demo.raw[12, "harbour", "generator", "psnr_db"] + demo.raw[12, "lakeside", "generator", "psnr_db"]
    assert found is not None
    assert (found.centres, found.cases) == (2, 58)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert found.sd == pytest.approx(np.std(values, ddof=1), rel=1e-9)


def test_a_suppressed_centre_is_listed_without_a_value(demo: Any) -> None:
    islet = evaluated(demo).centres[2]
    assert (islet.site, islet.state, islet.cases, islet.methods) == ("islet", CentreState.SUPPRESSED, 6, ())


def test_training_centres_are_internal_and_never_among_the_held_out(demo: Any) -> None:
    assert {centre.site for centre in evaluated(demo).centres} == {"harbour", "lakeside", "islet"}
    internal = evaluated(demo, Role.TRAIN)
    states = {centre.site: centre.state for centre in internal.centres}
    assert states == {
        "alder": CentreState.SUPPRESSED,
        "birch": CentreState.SUPPRESSED,
        "cedar": CentreState.EVALUATED,
    }


def test_differences_are_generator_minus_baseline_at_the_same_centre(demo: Any) -> None:
    found = next(d for d in evaluated(demo).differences if (d.baseline, d.metric) == ("mean_volume", "mae_hu"))
    for centre in found.centres:
        ours = np.mean(demo.raw[12, centre.site, "generator", "mae_hu"])
        theirs = np.mean(demo.raw[12, centre.site, "mean_volume", "mae_hu"])
        assert centre.value == pytest.approx(ours - theirs)
        assert centre.value < 0


def test_a_centre_missing_in_the_reported_round_says_why(make_run: Make) -> None:
    written = make_run(rounds=5)
    found = evaluated(written)
    lakeside = next(centre for centre in found.centres if centre.site == "lakeside")
    assert (lakeside.state, lakeside.reason) == (CentreState.NO_RESULT, "no reply within 3600 s")
    assert found.pooled_metric("generator", "psnr_db").centres == 1  # type: ignore[union-attr]


def test_the_round_reported_is_the_last_with_a_result_and_names_its_weights(make_run: Make) -> None:
    written = make_run(rounds=4)
    last = written.rounds[-1]
    timed_out = tuple(
        e.model_copy(update={"outcome": Outcome.TIMED_OUT, "methods": (), "suppressed": False}) for e in last.evaluation
    )
    written.rounds[-1] = last.model_copy(update={"evaluation": timed_out})
    written.write()
    found = evaluated(written)
    assert found.round == 3
    assert found.generator_sha256 == written.rounds[2].generator_sha256


def test_change_is_measured_over_centres_present_in_both_rounds(make_run: Make) -> None:
    written = make_run(rounds=5)
    change = next(c for c in evaluated(written).changes if c.metric == "psnr_db")
    assert change.sites == ("harbour",)
    assert change.first == pytest.approx(np.mean(written.raw[1, "harbour", "generator", "psnr_db"]))
    assert change.last == pytest.approx(np.mean(written.raw[5, "harbour", "generator", "psnr_db"]))


def test_curves_leave_out_rounds_without_a_result(demo: Any) -> None:
    curve = next(c for c in evaluated(demo).curves if (c.site, c.method, c.metric) == ("lakeside", "generator", "ssim"))
    assert [point.round for point in curve.points] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("metric", "sums", "fault"),
    [
        ("psnr_db", MetricSums(cases=24, total=480.0, total_of_squares=9e3), "sums of no real values: n·Σx² < (Σx)²"),
        ("ssim", MetricSums(cases=24, total=48.0, total_of_squares=100.0), "mean lies outside -1..1"),
        ("ssim", MetricSums(cases=24, total=12.0, total_of_squares=24.1), "sum of squares of no values in -1..1"),
        ("bone_dice", MetricSums(cases=9, total=6.0, total_of_squares=4.2), "fewer than 10 cases"),
    ],
)
def test_statistics_that_cannot_be_true_or_cover_too_few_cases_are_set_aside(
    make_run: Make, metric: str, sums: MetricSums, fault: str
) -> None:
    written = make_run(rounds=2)
    with_metric(written, 2, "harbour", metric, sums)
    found = evaluated(written)
    assert found.set_aside == (f"{metric} of harbour in round 2: {fault}",)
    harbour = next(centre for centre in found.centres if centre.site == "harbour")
    assert harbour.estimate("generator", metric) is None
    assert harbour.estimate("mean_volume", metric) is not None


def test_a_metric_this_release_does_not_know_is_set_aside(make_run: Make) -> None:
    written = make_run(rounds=2)
    with_metric(written, 2, "harbour", "novel_score", MetricSums(cases=24, total=48.0, total_of_squares=100.0))
    found = evaluated(written)
    assert found.set_aside == ("novel_score of harbour in round 2: this release does not know it",)
    assert "novel_score" not in [entry.metric for entry in found.heterogeneity]


def test_a_run_without_results_has_no_round_to_report(make_run: Make) -> None:
    written = make_run(rounds=2, held={})
    found = evaluated(written)
    assert (found.round, found.centres, found.pooled) == (None, (), ())
