"""What passed narrowly comes worst first, by how far it is from what is expected to where it is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.archive import VerdictCode
from client.case import Case, Limit
from client.case.case_limits import limits_of
from client.cohort.examination import CaseFile, Findings
from client.cohort.figures import LIKENESS, SPARE_COVERAGE_MM, Figure, Measured, figures_for, measured
from client.cohort.likeness import MAY_BE_ONE_HEAD
from client.cohort.narrow import NARROW_SHARE, held_against_limits, way_to_limit
from common.exchange import CohortFlow
from common.study import CohortSettings
from tests.client.tiny_cases import FACTS

FIGURES = figures_for(CohortSettings())


def looked_at(*changes):
    """The table of cases that differ from a sound one in these."""
    cases = [FACTS.model_copy(update=change) for change in changes]
    fields = [figure.field for figure in FIGURES if figure.field != LIKENESS]
    return held_against_limits(
        FIGURES,
        [
            Measured(
                {name: float(getattr(one, name)) for name in fields} | {LIKENESS: 0.0}, limits_of(one, CohortSettings())
            )
            for one in cases
        ],
    )


def told(figure, low, high):
    """A range as the document words it."""
    unit = figure.with_unit(0.0).removeprefix("0")
    low, high = (None if math.isinf(end) else f"{end:g}".replace("-", "−") for end in (low, high))
    if low and high:
        return f"{low} to {high}{unit}"
    return f"at least {low}{unit}" if low else f"at most {high}{unit}"


def test_the_document_names_every_limit_as_it_is():
    limits = dict(limits_of(FACTS, CohortSettings()))
    limits[LIKENESS] = Limit(VerdictCode.DUPLICATE_OF_PATIENT, high=MAY_BE_ONE_HEAD)
    rows = [
        f"| `{figure.field}` | {told(figure, figure.low, figure.high)} | {told(figure, limit.low, limit.high)} "
        f"| `{limit.verdict.value}` |"
        for figure in FIGURES
        if (limit := limits.get(figure.field)) is not None
    ]
    document = Path("docs/cohort.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in document
    assert f"From {NARROW_SHARE:.0%} on".replace("%", " %") in document
    assert f"of which {SPARE_COVERAGE_MM:g} mm more are expected" in document


@pytest.mark.parametrize("minimum_coverage_mm", [50.0, 100.0, 180.0])
@pytest.mark.parametrize(("tilt_deg", "stated_deg"), [(0.0, 0.0), (0.0, 4.0), (0.0, 9.0), (20.0, 0.0)])
def test_what_is_expected_ends_before_every_limit(minimum_coverage_mm, tilt_deg, stated_deg):
    study = CohortSettings(minimum_coverage_mm=minimum_coverage_mm)
    limits = limits_of(FACTS.model_copy(update={"tilt_deg": tilt_deg, "stated_tilt_deg": stated_deg}), study)
    for figure in figures_for(study):
        assert bool(figure.look) == (figure.field in {*limits, LIKENESS}), figure
        limit = limits.get(figure.field, Limit(VerdictCode.ACCEPTED))
        assert limit.low < figure.low or not math.isfinite(limit.low)
        assert limit.high > figure.high or not math.isfinite(limit.high)


@given(st.floats(-200, 200), st.floats(0.1, 20), st.floats(0.1, 20))
def test_the_share_is_none_as_expected_rises_and_is_whole_at_the_limit(middle, expected, further):
    figure = Figure("any", "any", "", 1.0, middle - expected, middle + expected)
    limit = Limit(VerdictCode.NOT_A_HEAD, figure.low - further, figure.high + 2 * further)
    shares = [way_to_limit(figure, value, limit) for value in np.linspace(figure.high, limit.high, 5)]
    assert [share for share, _ in shares] == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=1e-6)
    assert {nearest for _, nearest in shares[1:]} == {limit.high}
    assert way_to_limit(figure, middle, limit)[0] == 0
    assert way_to_limit(figure, figure.low - further / 4, limit) == (pytest.approx(0.25, abs=1e-6), limit.low)
    assert way_to_limit(figure, limit.high + 1, limit)[0] == way_to_limit(figure, limit.low - 1, limit)[0] == 1


def test_figures_come_worst_first_and_so_do_their_cases():
    table = looked_at({}, {"shear_deg": 4.6}, {"shear_deg": -5.9}, {"residual_hu": 185.0}, {"cut_share": 0.06})
    assert [(figure.field, [one.case for one in passes]) for figure, passes in table.narrow] == [
        ("shear_deg", [2, 1]),
        ("residual_hu", [3]),
    ]
    worst = table.narrow[0][1][0]
    assert (worst.value, worst.limit, worst.verdict) == (-5.9, -6.0, VerdictCode.POSITIONS_CONTRADICT)
    assert worst.share == pytest.approx(2.9 / 3)
    assert table.narrow_cases == {1, 2, 3}


def test_the_limit_of_a_lean_is_that_of_the_tilt_that_a_case_states():
    lean = {"shear_deg": 3.3}
    assert looked_at(lean).narrow == []
    ((figure, (one,)),) = looked_at(lean | {"stated_tilt_deg": 5.0}).narrow
    assert (figure.field, one.limit, one.verdict) == ("shear_deg", 3.5, VerdictCode.TILT_CONTRADICTS)


def test_every_figure_that_is_judged_is_counted_though_nothing_passed_narrowly():
    table = looked_at({}, {})
    assert table.narrow == []
    assert set(table.narrow_counts) == {*limits_of(FACTS, CohortSettings()), LIKENESS}
    assert set(table.narrow_counts.values()) == {0}
    assert held_against_limits(FIGURES, []).narrow_cases == frozenset()


def test_half_of_the_way_is_narrow():
    at = 0.05 + NARROW_SHARE * 0.15
    assert looked_at({"cut_share": at + 1e-9}).narrow_counts["cut_share"] == 1
    assert looked_at({"cut_share": at - 1e-3}).narrow_counts["cut_share"] == 0


def heads(study, *seeds):
    """Cases of bone in random places, equal for equal seeds."""
    for index, seed in enumerate(seeds):
        volume = np.random.default_rng(seed).integers(-1000, 1500, study.grid.shape).astype(np.int16)
        yield Case(f"{index:032x}", volume, np.zeros((2, 1, 1), np.float32), FACTS)


def test_heads_known_by_their_studies_are_held_against_each_other_and_no_others(study):
    cases = list(heads(study, 1, 2, 1, 1))
    files = [CaseFile(Path("unused"), case.pseudonym, study, is_by_study=place < 3) for place, case in enumerate(cases)]
    found = measured(Findings(study, tuple(files), CohortFlow(found=4, eligible=4, used=4, excluded={}), ()), cases)
    assert [one.like for one in found] == [cases[2].pseudonym, found[1].like, cases[0].pseudonym, ""]
    assert found[0].values[LIKENESS] == found[2].values[LIKENESS] == 1
    assert found[1].values[LIKENESS] < 0.5
    assert LIKENESS not in found[3].limits
    assert found[0].limits[LIKENESS].high == MAY_BE_ONE_HEAD
    ((figure, passes),) = held_against_limits(FIGURES, found).narrow
    assert (figure.field, sorted(one.case for one in passes)) == (LIKENESS, [0, 2])


def test_a_single_head_known_by_its_study_is_like_no_other(study):
    (case,) = heads(study, 1)
    file = CaseFile(Path("unused"), case.pseudonym, study, is_by_study=True)
    (found,) = measured(Findings(study, (file,), CohortFlow(found=1, eligible=1, used=1, excluded={}), ()), [case])
    assert (found.like, found.values[LIKENESS]) == ("", 0.0)
