"""No head that is drawn, scanned and spoilt at random is accepted with exchanged sides, or lost without a reason."""

from __future__ import annotations

import pytest

from client.archive import VerdictCode
from tests.fuzz.draws import DRAWN, Draw, campaign

FEW = 24


def test_draws_come_out_as_their_twins_or_are_refused_for_the_right_reason() -> None:
    findings = list(campaign(0, FEW))
    assert [f"{finding.draw}: {finding.problem}" for finding in findings if finding.problem] == []
    assert {finding.verdict is VerdictCode.ACCEPTED for finding in findings} == {True, False}


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_seeds_give_equal_draws(seed: int) -> None:
    assert str(Draw(seed)) == str(Draw(seed))


def test_every_fault_that_has_a_verdict_is_drawn() -> None:
    drawn = {Draw(seed).fault for seed in range(400)}
    assert {fault.name for fault in drawn if fault is not None} == set(DRAWN)
