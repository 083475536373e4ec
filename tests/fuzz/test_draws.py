"""No head that is drawn, scanned and spoilt at random is accepted with exchanged sides, or lost without a reason."""

from __future__ import annotations

import itertools

import pytest

from client.archive import VerdictCode
from client.virtual_hospital import FAULTS
from tests.fuzz.draws import DRAWN, REASONS, STRAYS, Draw, campaign

FEW = 24


def test_draws_come_out_as_their_twins_or_are_refused_for_the_right_reason() -> None:
    findings = list(campaign(0, FEW))
    assert [f"{finding.draw}: {finding.problem}" for finding in findings if finding.problem] == []
    assert {finding.verdict is VerdictCode.ACCEPTED for finding in findings} == {True, False}


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_seeds_give_equal_draws(seed: int) -> None:
    assert str(Draw(seed)) == str(Draw(seed))


def test_every_fault_of_the_virtual_hospital_is_drawn_and_has_a_reason_if_it_harms() -> None:
    assert set(DRAWN) == set(FAULTS)
    assert {name for name, fault in FAULTS.items() if not fault.harmless} == set(REASONS)


def test_every_fault_is_drawn_alone_and_with_others_and_strays_beside_harm() -> None:
    drawn = [Draw(seed) for seed in range(600)]
    assert {draw.faults[0].name for draw in drawn if len(draw.faults) == 1} == set(DRAWN)
    assert {fault.name for draw in drawn if len(draw.faults) == 2 for fault in draw.faults} == set(DRAWN)
    assert {len(draw.faults) for draw in drawn} == {0, 1, 2}
    assert any(draw.faults[-1].name in STRAYS and draw.faults[0].name in REASONS for draw in drawn if draw.faults)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(STRAYS, 2)))
def test_any_two_kinds_of_strays_beside_a_stack_leave_the_head_as_it_is(first: str, second: str) -> None:
    finding = Draw(STRAYS.index(first), (first, second)).look()
    assert (finding.verdict, finding.problem) == (VerdictCode.ACCEPTED, "")


def test_a_smaller_circle_of_padding_never_cuts_the_patient() -> None:
    finding = Draw(3900, ("padding-beyond-bits",)).look()
    assert (finding.verdict, finding.problem) == (VerdictCode.ACCEPTED, "")
