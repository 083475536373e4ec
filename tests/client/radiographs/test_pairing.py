"""Films are paired within one patient, one study first, the nearest in time, and never by a guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.radiographs import (
    DatedCt,
    Film,
    FilmGeometry,
    FilmRefused,
    FilmSettings,
    FilmVerdict,
    Origin,
    pair_of,
    pairs_by_patient,
)
from common.geometry import FrontalView, LateralView

SETTINGS = FilmSettings()
FRONTAL = Film(
    integrals=np.zeros((2, 2), np.float32),
    exposed=np.ones((2, 2), dtype=bool),
    is_lateral=False,
    direction=FrontalView.PA,
    pixel_mm=1.0,
    geometry=FilmGeometry((1.0, 1.0), Origin.STATED, 1500.0, 1000.0, 1.5, Origin.STATED),
    patient="p",
    study="s",
    instance="f",
    day=739_000,
    time_s=36_000.0,
    metal_share=0.0,
    size=1.0,
    kvp=75.0,
    notes=(),
)
LATERAL = replace(FRONTAL, is_lateral=True, direction=LateralView.LEFT, instance="l", time_s=36_120.0)
CT = DatedCt("c", "p", "s", 739_003)


def verdict(films, cts=None, settings=SETTINGS):
    with pytest.raises(FilmRefused) as refused:
        pair_of(films, cts, settings)
    return refused.value.verdict


def test_two_films_in_any_order_are_a_pair_with_their_ct():
    for films in ([FRONTAL, LATERAL], [LATERAL, FRONTAL]):
        pair = pair_of(films, [CT], SETTINGS)
        assert (pair.frontal.instance, pair.lateral.instance, pair.ct) == ("f", "l", "c")
    assert pair_of([FRONTAL, LATERAL], None, SETTINGS).ct is None


def test_row_21_one_view_twice_or_one_image_twice_is_no_pair():
    assert verdict([FRONTAL, replace(FRONTAL, instance="g")]) is FilmVerdict.PAIR_ONE_VIEW
    assert verdict([LATERAL, replace(LATERAL, instance="g")]) is FilmVerdict.PAIR_ONE_VIEW
    assert verdict([FRONTAL, replace(LATERAL, instance="f")]) is FilmVerdict.PAIR_ONE_VIEW


def test_row_22_films_or_ct_of_two_patients_are_no_pair():
    assert verdict([FRONTAL, replace(LATERAL, patient="q")]) is FilmVerdict.PAIR_OTHER_PATIENT
    assert verdict([FRONTAL, LATERAL], [replace(CT, patient="q")]) is FilmVerdict.PAIR_OTHER_PATIENT


@pytest.mark.parametrize("change", [{"day": 739_007}, {"day": None}, {"time_s": None}, {"time_s": 36_601.0}])
def test_row_23_films_too_far_apart_or_without_a_time_are_no_pair(change):
    assert verdict([FRONTAL, replace(LATERAL, **change)]) is FilmVerdict.PAIR_TOO_FAR


@pytest.mark.parametrize("day", [739_365, 739_031, 738_969, None])
def test_row_23_a_ct_too_far_from_the_films_is_not_theirs(day):
    assert verdict([FRONTAL, LATERAL], [replace(CT, day=day)]) is FilmVerdict.PAIR_TOO_FAR


def test_limits_are_settings():
    apart = replace(LATERAL, time_s=36_000.0 + 20 * 60)
    assert verdict([FRONTAL, apart]) is FilmVerdict.PAIR_TOO_FAR
    assert pair_of([FRONTAL, apart], None, FilmSettings(film_minutes=20)).lateral is apart


def test_the_same_study_comes_before_the_nearest_and_ties_are_refused():
    nearer = replace(LATERAL, instance="m", study="t", time_s=36_001.0)
    assert pair_of([FRONTAL, LATERAL, nearer], None, SETTINGS).lateral is LATERAL
    tied = replace(LATERAL, instance="m", time_s=35_880.0)
    assert verdict([FRONTAL, LATERAL, tied]) is FilmVerdict.PAIR_TIED
    assert verdict([FRONTAL, LATERAL], [CT, replace(CT, series="d")]) is FilmVerdict.PAIR_TIED


def test_each_patient_gets_a_pair_or_a_verdict():
    found = pairs_by_patient([FRONTAL, LATERAL, replace(FRONTAL, patient="q", instance="x")], [CT], SETTINGS)
    assert found["p"].ct == "c"
    assert found["q"] is FilmVerdict.PAIR_ONE_VIEW


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("st"), st.integers(0, 900), st.sampled_from("abcdef")), max_size=6
    ),
    st.randoms(),
)
def test_a_pair_does_not_depend_on_the_order_of_films(drawn, random):
    named = {name: (is_lateral, study, second) for is_lateral, study, second, name in drawn}
    films = [
        replace(FRONTAL, is_lateral=is_lateral, study=study, time_s=36_000.0 + second, instance=name)
        for name, (is_lateral, study, second) in named.items()
    ]
    shuffled = random.sample(films, len(films))
    first, second = (outcome(order) for order in (films, shuffled))
    assert first == second


def outcome(films):
    try:
        pair = pair_of(films, None, SETTINGS)
    except FilmRefused as refused:
        return refused.verdict
    assert abs(pair.frontal.time_s - pair.lateral.time_s) <= 600
    return pair.frontal.instance, pair.lateral.instance
