"""Who is a patient: an identifier that names nobody, or several heads, gives way to the study; nobody leaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from client.cohort import build_cohort, cohort_counts, examine, figure_table
from client.cohort.likeness import may_be_one
from client.cohort_page import write_cohort_page
from client.phantom import procedural_head
from common.geometry import Grid
from common.roles import Role
from common.study import CohortSettings, Study
from tests.client.heads import vary


def person(seed: int) -> np.ndarray:
    """The head of a person, in slices of 6 mm and pixels of 3 mm."""
    thin = procedural_head(seed, Grid(shape=(80, 80, 64), voxel_mm=3.0)).astype(np.float32)
    return np.rint((thin[::2] + thin[1::2]) / 2).astype(np.int16)


@pytest.fixture(scope="session")
def other_heads() -> list[np.ndarray]:
    """Heads of four people."""
    return [person(seed) for seed in (11, 12, 13, 14)]


@pytest.fixture(scope="session")
def many_heads(other_heads) -> list[np.ndarray]:
    """Heads of ten people."""
    return [*other_heads, *(person(seed) for seed in range(15, 21))]


@pytest.fixture
def write(head_series: Callable[..., Any], tmp_path):
    """Writes studies, each a head, under one patient identifier."""

    def studies(patient_id: str, heads) -> None:
        for number, hu in enumerate(heads):
            writer = head_series(patient_id=patient_id)
            writer.hu = hu
            writer.write(tmp_path / "archive" / f"{patient_id}{number}")

    return studies


def split_of(tmp_path, study: Study, fraction: float = 0.4):
    limits = CohortSettings(minimum_cases=1, validation_fraction=fraction)
    changed = study.model_copy(update={"cohort": limits})
    return build_cohort(tmp_path / "archive", changed, Role.TRAIN, tmp_path / "state", workers=1)


@pytest.mark.parametrize("patient_id", ["ANONYMOUS", "0", "XXXX"])
def test_studies_of_a_placeholder_are_patients_of_their_own(write, other_heads, study, tmp_path, patient_id):
    write(patient_id, other_heads)
    cohort = split_of(tmp_path, study)
    assert cohort.flow.used == 4
    assert len(cohort.validation) == 2
    assert all(case.is_by_study for case in (*cohort.train, *cohort.validation))


@pytest.mark.parametrize("patient_id", ["ANONYMOUS", "HOSPITAL-7"])
def test_many_heads_of_one_identifier_fall_on_both_sides_each_by_its_own_study(
    write, many_heads, study, tmp_path, patient_id
):
    write(patient_id, many_heads)
    sides: dict[str, set[str]] = {}
    for name in ("one", "two", "three"):
        cohort = split_of(tmp_path, study.model_copy(update={"name": name}), fraction=0.3)
        assert (len(cohort.train), len(cohort.validation)) == (7, 3)
        for side, cases in (("train", cohort.train), ("validation", cohort.validation)):
            for case in cases:
                sides.setdefault(case.pseudonym, set()).add(side)
    assert len(sides) == 10
    assert sum(len(both) == 2 for both in sides.values()) >= 2, "each study's side is drawn for itself"


def test_page_and_counts_say_that_the_split_is_by_study_and_who_stays_together(write, other_heads, study, tmp_path):
    write("ANONYMOUS", [*other_heads, vary(other_heads[0], 5)])
    open_study = study.model_copy(update={"privacy": study.privacy.model_copy(update={"minimum_cases": 1})})
    findings = examine(tmp_path / "archive", open_study, tmp_path / "state", workers=1)
    cases = [case.load() for case in findings.cases]
    counts = cohort_counts(findings, [case.facts for case in cases], {})
    assert (counts.known_by_study, counts.kept_together) == (5, 2)
    write_cohort_page(tmp_path / "cohort.html", findings, cases, figure_table(findings, cases))
    page = (tmp_path / "cohort.html").read_text()
    assert "5 of 5 cases are known by their study" in page
    assert "split by study, each under a pseudonym of its own; but 2 of them may show one head" in page
    hidden = cohort_counts(examine(tmp_path / "archive", study, tmp_path / "state", workers=1), [], {})
    assert hidden.kept_together == f"<{study.privacy.minimum_cases}"


def test_studies_that_may_show_one_head_stay_on_one_side(write, head_hu, other_heads, study, tmp_path):
    twins = [vary(other_heads[0], 1), vary(other_heads[0], 2), vary(other_heads[0], 3)]
    write("ANONYMOUS", [*other_heads[1:], *twins])
    found = set()
    for round_ in range(6):
        named = study.model_copy(update={"name": f"split-{round_}"})
        cohort = split_of(tmp_path, named)
        volumes = [[case.load().volume_hu.astype(float) for case in side] for side in (cohort.train, cohort.validation)]
        bone = [[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in volumes[1]] for a in volumes[0]]
        assert max((value for row in bone for value in row), default=0) < 0.999, "one head on both sides"
        found.add(len(cohort.validation))
    assert found & {1, 2, 3}


def test_a_newcomer_joins_the_side_of_whom_it_may_be(write, head_series, other_heads, study, tmp_path):
    write("ANONYMOUS", other_heads)
    first = split_of(tmp_path, study)
    sides = {case.pseudonym: side for side in ("train", "validation") for case in getattr(first, side)}
    for number, hu in enumerate(other_heads):
        writer = head_series(patient_id="ANONYMOUS")
        writer.hu = vary(hu, 20 + number)
        writer.write(tmp_path / "archive" / f"again{number}")
    second = split_of(tmp_path, study)
    assert second.flow.used == 8
    assert sides.items() <= {case.pseudonym: s for s in ("train", "validation") for case in getattr(second, s)}.items()
    assert (len(second.train), len(second.validation)) == (4, 4)


def test_an_identifier_that_several_heads_share_is_no_patient(write, other_heads, study, tmp_path):
    write("HOSPITAL-7", other_heads)
    cohort = split_of(tmp_path, study)
    assert cohort.flow.used == 4
    assert all(case.is_by_study for case in (*cohort.train, *cohort.validation))
    again = split_of(tmp_path, study)
    assert again == cohort


def test_a_patient_with_many_studies_stays_one_patient(write, other_heads, study, tmp_path, monkeypatch):
    write("SECRET-7", [vary(other_heads[0], seed) for seed in range(4)])
    cohort = split_of(tmp_path, study)
    assert cohort.flow.used == 1
    assert cohort.flow.excluded == {"duplicate_of_patient": 3}
    (case,) = cohort.train
    assert not case.is_by_study

    def fail(*arguments: object) -> None:
        raise AssertionError("a case was built again")

    monkeypatch.setattr("client.cohort.case_store.construct_case", fail)
    assert split_of(tmp_path, study) == cohort


def test_two_studies_are_too_few_to_doubt_an_identifier(write, other_heads, study, tmp_path):
    write("SECRET-7", other_heads[:2])
    assert split_of(tmp_path, study).flow.used == 1


def test_the_counts_say_how_many_are_known_by_study(write, other_heads, study, tmp_path):
    write("ANONYMOUS", other_heads[:2])
    write("SECRET-7", other_heads[2:3])
    open_study = study.model_copy(update={"privacy": study.privacy.model_copy(update={"minimum_cases": 1})})
    findings = examine(tmp_path / "archive", open_study, tmp_path / "state", workers=1)
    counts = cohort_counts(findings, [case.load().facts for case in findings.cases], {})
    assert (counts.flow.used, counts.known_by_study) == (3, 2)
    hidden = cohort_counts(examine(tmp_path / "archive", study, tmp_path / "state", workers=1), [], {})
    assert hidden.known_by_study == f"<{study.privacy.minimum_cases}"


def test_groups_are_closed_and_the_unlike_are_left_out():
    basis = np.eye(6, dtype=np.float32)
    near = basis[0] + 0.2 * basis[1]
    nearer = basis[0] + 0.4 * basis[1]
    patterns = {
        "a": basis[0],
        "b": near / np.linalg.norm(near),
        "c": nearer / np.linalg.norm(nearer),
        "d": basis[4],
    }
    assert may_be_one(patterns) == [frozenset("abc")]
    assert may_be_one({"a": basis[0]}) == []
