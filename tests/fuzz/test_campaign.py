"""A short campaign on every run of the tests; ``make fuzz`` runs the long one."""

from __future__ import annotations

import sys
from random import Random

import pytest

from client.dicom import Reader
from tests.fuzz import campaign as campaigns
from tests.fuzz.campaign import DECODED, PARENT_GROWTH_BYTES, Campaign, Case, case_of
from tests.fuzz.elements import elements
from tests.fuzz.mutations import AIMED, BLIND, mutated
from tests.fuzz.seeds import PHI, Seed, sample_seeds, written_seeds

CASES, SECONDS, FEWEST = 1500, 25.0, 100
CAMPAIGN = 2026


@pytest.fixture(scope="module")
def ours() -> list[Seed]:
    return written_seeds()


@pytest.mark.fuzz
def test_mutated_files_get_verdicts_and_never_crash_stall_fill_or_betray(ours):
    with Campaign(CAMPAIGN, ours, sample_seeds()) as running:
        for report in running.run(CASES, SECONDS):
            assert [finding.what for finding in report.findings] == []
    assert report.findings == []
    assert report.cases >= FEWEST
    assert report.verdicts[DECODED] > 0 and report.verdicts["unreadable (damaged)"] > 0
    assert report.peak_bytes - report.base_bytes < PARENT_GROWTH_BYTES


def test_seeds_decode_before_they_are_mutated(ours):
    assert len(ours) == 10
    with Campaign(CAMPAIGN, ours, []) as running:
        cases = [Case(number, seed, seed.content, ()) for number, seed in enumerate(ours)]
        assert running.faults(cases) == []
        assert running.report.verdicts == {DECODED: len(ours)}


def test_a_campaign_and_a_number_always_make_the_same_file(ours):
    once, again = (case_of(7, 41, written, sample_seeds(), []) for written in (ours, written_seeds()))
    assert once == again
    assert case_of(7, 42, ours, sample_seeds(), []).content != once.content


@pytest.mark.parametrize(
    "mutation", sorted({*BLIND, *AIMED}, key=lambda one: one.__name__), ids=lambda one: one.__name__
)
def test_each_mutation_changes_some_seed(ours, mutation):
    changed = [mutation(seed.content, Random(number)) != seed.content for seed in ours for number in range(5)]
    assert any(changed)


def test_mutations_take_any_bytes():
    rng = Random(3)
    for length in (1, 2, 9, 131, 132, 140, 400):
        content = rng.randbytes(length)
        elements(content)
        for _ in range(20):
            assert mutated(content, rng)[0]


def watched(monkeypatch, seed, disturb):
    monkeypatch.setattr(campaigns, "judge_headers", disturb)
    with Campaign(CAMPAIGN, [seed], []) as running:
        return running.faults([Case(0, seed, seed.content, ())])


def test_an_exception_is_a_finding(ours, monkeypatch):
    def broken(*_):
        raise KeyError("broken")

    (fault,) = watched(monkeypatch, ours[0], broken)
    assert fault.startswith("raised KeyError")


def test_what_names_a_patient_in_anything_said_is_a_finding(ours, monkeypatch):
    judge = campaigns.judge_headers

    def talkative(*arguments):
        print(PHI[0], file=sys.__stderr__, flush=True)
        return judge(*arguments)

    assert watched(monkeypatch, ours[0], talkative) == [f"said {PHI[0]!r}"]


def test_a_glance_that_differs_from_the_reading_process_is_a_finding(ours, monkeypatch):
    headers = Reader.headers

    def silent(self, paths):
        yield from (None for _ in headers(self, paths))

    monkeypatch.setattr(Reader, "headers", silent)
    with Campaign(CAMPAIGN, ours[:1], []) as running:
        (fault,) = running.faults([Case(0, ours[0], ours[0].content, ())])
    assert "found what the reading process does not read" in fault
