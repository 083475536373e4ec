"""The cases to look at first are those that differ, and the page can say why."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from client.cohort_page.outliers import standings


@pytest.fixture
def standing(table):
    return lambda facts: standings(table(facts))


def usual(facts, count=9, **changes):
    """Cases that differ a little in their residuals."""
    return [facts(residual_hu=80.0 + 3 * number, **changes) for number in range(count)]


def test_usual_cases_are_no_outliers(standing, facts):
    assert not any(item.is_outlier for item in standing(usual(facts)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"residual_hu": 170.0}, "residual to the template 170 HU"),
        ({"brain_median_hu": 52.0}, "brain, median 52 HU"),
        ({"pitch_deg": 24.0}, "pitch, chin up positive 24°"),
        ({"coverage_mm": 260.0}, "scanned length 260 mm"),
        ({"bone_hu": 2150.0}, "bone, 95th percentile 2150 HU"),
        ({"air_hu": -955.0}, "air, median -955 HU"),
    ],
)
def test_a_case_far_from_the_others_says_in_what(standing, facts, changes, said):
    odd = standing([*usual(facts), facts(**changes)])[-1]
    assert odd.is_outlier
    assert odd.score > 1
    assert [reason for reason in odd.why if reason.startswith(said) and "robust z" in reason] == list(odd.why)


def test_what_no_head_should_show_counts_even_in_a_single_case(standing, facts):
    (odd,) = standing([facts(brain_median_hu=5.0, cut_share=0.1)])
    assert odd.score == pytest.approx(1 + 10 / 15)
    assert odd.why == (
        "brain, median 5 HU, expected at least 15, refused below 0",
        "share of slices cut by the field 0.1, expected at most 0.05",
    )


def test_what_is_nearer_its_limit_comes_first(standing, facts):
    scores = [item.score for item in standing([facts(cut_share=share) for share in (0.06, 0.12, 0.19)])]
    assert scores == sorted(scores)
    assert len(set(scores)) == 3


def test_few_cases_are_not_compared(standing, facts):
    assert not any(item.is_outlier for item in standing([*usual(facts, 3), facts(pitch_deg=24.0)]))


def test_scanners_differ_without_being_outliers(standing, facts):
    assert not standing([*usual(facts), facts(tilt_deg=18.5, slice_mm=7.0)])[-1].is_outlier


def test_a_low_residual_is_welcome(standing, facts):
    assert not standing([*usual(facts), facts(residual_hu=10.0)])[-1].is_outlier


def test_the_score_is_the_textbook_z_of_the_farthest_figure(standing, facts):
    rng = np.random.default_rng(3)
    pitches = rng.normal(0, 9, 40)
    found = standing([facts(pitch_deg=value) for value in pitches])
    scale = stats.median_abs_deviation(pitches)
    expected = np.abs(0.6745 * (pitches - np.median(pitches)) / scale) / 3.5
    assert [item.score for item in found] == pytest.approx(
        np.where(np.abs(pitches) > 30, np.maximum(expected, 1), expected)
    )


def test_every_figure_of_a_case_is_known(table, facts):
    made = table([facts()])
    assert all(np.isfinite(figure.of(made.cases[0])) for figure in made.figures)
