"""Counts that leave the command as JSON give no small group away, not even by subtraction."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.case.case import CaseFacts
from client.cohort.counts import NOT_STATED, WITHHELD, cohort_counts, kvp_band, spacing_band, withheld
from client.cohort.examination import Findings
from common.exchange import CohortFlow
from common.study import Privacy

LEAST = 10
GROUPS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 40), max_size=8)


@given(GROUPS)
def test_no_small_count_is_shown(counts):
    shown = withheld(counts, LEAST)
    assert shown.keys() == counts.keys()
    for label, count in counts.items():
        if 0 < count < LEAST:
            assert shown[label] == f"<{LEAST}"
        else:
            assert shown[label] in (count, WITHHELD)


@given(GROUPS)
def test_what_is_hidden_is_no_small_group_when_the_total_is_known(counts):
    shown = withheld(counts, LEAST)
    hidden = [label for label, value in shown.items() if isinstance(value, str)]
    if hidden and sum(counts.values()) >= LEAST and len(counts) > 1:
        assert sum(counts[label] for label in hidden) >= LEAST or len(hidden) == len(counts)
        assert len(hidden) > 1


@pytest.mark.parametrize("small", range(1, LEAST))
def test_several_answers_fit_what_is_shown(small):
    """By brute force: a reader who knows the total and everything shown cannot tell the small count."""
    counts = {"a": small, "b": 25, "c": 40}
    shown = withheld(counts, LEAST)
    total = sum(counts.values())
    fitting = {
        a
        for a, b, c in product(range(total + 1), repeat=3)
        if a + b + c == total and withheld({"a": a, "b": b, "c": c}, LEAST) == shown
    }
    assert fitting == set(range(1, LEAST))


def findings(study, excluded, used):
    found = used + sum(excluded.values())
    flow = CohortFlow(found=found, eligible=used, used=used, excluded=excluded)
    return Findings(study, (), flow, ())


def facts(manufacturer="ge", kvp=120.0, slice_mm=4.0):
    return CaseFacts.model_construct(manufacturer=manufacturer, kvp=kvp, slice_mm=slice_mm)


def test_the_document_counts_cases_by_scanner_voltage_and_spacing(study):
    known = [*[facts()] * 12, *[facts("siemens", None, 0.6)] * 11]
    counts = cohort_counts(
        findings(study, {"not_ct": 30, "not_a_head": 12}, 23), known, {"shear_deg": 11, "residual_hu": 0}
    )
    assert counts.flow.model_dump() == {
        "found": 65,
        "eligible": 23,
        "used": 23,
        "excluded": {"not_a_head": 12, "not_ct": 30},
    }
    assert counts.passed_narrowly == {"residual_hu": 0, "shear_deg": 11}
    assert counts.scanners == {"ge": 12, "siemens": 11}
    assert counts.kvp == {"110 to 129 kV": 12, NOT_STATED: 11}
    assert counts.slice_spacing == {"4 mm and more": 12, "under 1 mm": 11}
    assert (counts.minimum_cases, counts.enough, counts.study_sha256) == (LEAST, True, study.sha256)


def test_a_single_excluded_series_does_not_follow_from_the_totals(study):
    counts = cohort_counts(findings(study, {"not_a_head": 1}, 23), [facts()] * 23, {})
    assert counts.flow.excluded == {"not_a_head": "<10"}
    assert (counts.flow.found, counts.flow.eligible, counts.flow.used) == (WITHHELD, WITHHELD, 23)


def test_few_cases_that_passed_narrowly_are_not_counted_nor_all_but_few(study):
    narrow = {"cut_share": 3, "residual_hu": 0, "shear_deg": 15, "tilt_deg": 23, "step_left_mm": 13}
    counts = cohort_counts(findings(study, {}, 23), [facts()] * 23, narrow)
    assert counts.passed_narrowly == {
        "cut_share": "<10",
        "residual_hu": 0,
        "shear_deg": WITHHELD,
        "step_left_mm": 13,
        "tilt_deg": 23,
    }


def test_the_minimum_is_the_studys(study):
    open_study = study.model_copy(update={"privacy": Privacy(minimum_cases=1)})
    counts = cohort_counts(findings(open_study, {"not_a_head": 1}, 2), [facts()] * 2, {"shear_deg": 1})
    assert counts.passed_narrowly == {"shear_deg": 1}
    assert json.loads(counts.model_dump_json())["flow"] == {
        "found": 3,
        "eligible": 2,
        "used": 2,
        "excluded": {"not_a_head": 1},
    }


@pytest.mark.parametrize(
    ("kvp", "band"),
    [(None, NOT_STATED), (80, "under 90 kV"), (90, "90 to 109 kV"), (120, "110 to 129 kV"), (140, "130 kV and more")],
)
def test_tube_voltages_have_bands(kvp, band):
    assert kvp_band(kvp) == band


@pytest.mark.parametrize(
    ("slice_mm", "band"),
    [(0.6, "under 1 mm"), (1, "1 to under 2 mm"), (3, "2 to under 4 mm"), (5, "4 mm and more")],
)
def test_slice_distances_have_bands(slice_mm, band):
    assert spacing_band(slice_mm) == band
