from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.archive.pseudonym import Pseudonyms
from client.cohort.split import split_patients
from common.errors import ExitCode, Refusal
from common.roles import Role

NAMES = Pseudonyms(b"k" * 32)


def patients(count, start=0):
    return [NAMES.of("patient", str(number)) for number in range(start, start + count)]


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 0), (3, 1), (5, 1), (10, 2), (23, 5)])
def test_small_cohorts_get_about_the_share_they_ask_for(study, tmp_path, count, expected):
    train, validation = split_patients(tmp_path, NAMES, study, Role.TRAIN, patients(count))
    assert len(validation) == expected
    assert sorted((*train, *validation)) == sorted(patients(count))


def test_held_out_sites_never_train(study, tmp_path):
    train, validation = split_patients(tmp_path, NAMES, study, Role.EVALUATE, patients(7))
    assert train == ()
    assert len(validation) == 7
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30), min_size=1), min_size=2, max_size=6))
def test_nobody_changes_sides_when_patients_come_and_go(study, visits):
    sides: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for present in visits:
            names = [NAMES.of("patient", str(number)) for number in sorted(present)]
            try:
                train, validation = split_patients(Path(folder), NAMES, study, Role.TRAIN, names)
            except Refusal as refusal:
                assert refusal.code is ExitCode.COHORT_TOO_SMALL
                continue
            assert train
            for side, members in (("train", train), ("validation", validation)):
                for name in members:
                    assert sides.setdefault(name, side) == side


def test_two_studies_and_two_sites_split_differently(study, tmp_path):
    other = study.model_copy(update={"name": "another"})
    splits = {
        split_patients(tmp_path, NAMES, study, Role.TRAIN, patients(20))[1],
        split_patients(tmp_path, NAMES, other, Role.TRAIN, patients(20))[1],
        split_patients(tmp_path / "x", Pseudonyms(b"z" * 32), study, Role.EVALUATE, patients(20))[1],
    }
    assert len(splits) == 3


def test_only_validation_patients_left_is_refused_rather_than_turned(study, tmp_path):
    _, validation = split_patients(tmp_path, NAMES, study, Role.TRAIN, patients(10))
    with pytest.raises(Refusal) as refusal:
        split_patients(tmp_path, NAMES, study, Role.TRAIN, list(validation))
    assert refusal.value.code is ExitCode.COHORT_TOO_SMALL


def test_damaged_split_is_refused_rather_than_drawn_anew(study, tmp_path):
    split_patients(tmp_path, NAMES, study, Role.TRAIN, patients(10))
    next(tmp_path.iterdir()).write_text("{")
    with pytest.raises(Refusal) as refusal:
        split_patients(tmp_path, NAMES, study, Role.TRAIN, patients(10))
    assert refusal.value.code is ExitCode.SETTINGS_INVALID
