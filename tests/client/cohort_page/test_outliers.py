"""The cases to look at first are those that differ, and the page can say why."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from client.cohort_page.outliers import FIGURES, standings


def usual(facts, count=9, **changes):
    """Cases that differ a little in their residuals."""
    return [facts(residual_hu=80.0 + 3 * number, **changes) for number in range(count)]


def test_usual_cases_are_no_outliers(facts):
    assert not any(standing.is_outlier for standing in standings(usual(facts)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"residual_hu": 170.0}, "residual to the template 170 HU"),
        ({"brain_median_hu": 52.0}, "brain, median 52 HU"),
        ({"pitch_deg": 24.0}, "pitch, chin up positive 24°"),
        ({"coverage_mm": 260.0}, "scanned length 260 mm"),
        ({"bone_hu": 2150.0}, "bone, 95th percentile 2150 HU"),
        ({"air_hu": -955.0}, "air, 1st percentile -955 HU"),
    ],
)
def test_a_case_far_from_the_others_says_in_what(facts, changes, said):
    odd = standings([*usual(facts), facts(**changes)])[-1]
    assert odd.is_outlier
    assert odd.score > 1
    assert [reason for reason in odd.why if reason.startswith(said) and "robust z" in reason] == list(odd.why)


def test_what_no_head_should_show_counts_even_in_a_single_case(facts):
    (odd,) = standings([facts(brain_median_hu=5.0, cut_share=0.1)])
    assert odd.score == 1
    assert odd.why == (
        "brain, median 5 HU, expected at least 15",
        "share of slices cut by the field 0.1, expected at most 0.05",
    )


def test_few_cases_are_not_compared(facts):
    assert not any(item.is_outlier for item in standings([*usual(facts, 3), facts(residual_hu=170.0)]))


def test_scanners_differ_without_being_outliers(facts):
    assert not standings([*usual(facts), facts(tilt_deg=18.5, slice_mm=7.0)])[-1].is_outlier


def test_a_low_residual_is_welcome(facts):
    assert not standings([*usual(facts), facts(residual_hu=10.0)])[-1].is_outlier


def test_the_score_is_the_textbook_z_of_the_farthest_figure(facts):
    rng = np.random.default_rng(3)
    pitches = rng.normal(0, 9, 40)
    found = standings([facts(pitch_deg=value) for value in pitches])
    scale = stats.median_abs_deviation(pitches)
    expected = np.abs(0.6745 * (pitches - np.median(pitches)) / scale) / 3.5
    assert [item.score for item in found] == pytest.approx(
        np.where(np.abs(pitches) > 30, np.maximum(expected, 1), expected)
    )


def test_every_figure_is_a_fact(facts):
    assert all(np.isfinite(figure.of(facts())) for figure in FIGURES)
