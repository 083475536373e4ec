"""Who is a patient: whoever an identifier names, unless it names nobody, or evidently several.

A placeholder is taken for no identifier when headers are read; then the study stands for the patient. An identifier
that several studies share is put to a test by content: if the heads of three of them are evidently three, it is shared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from client.case import Case
from client.cohort.building import Candidate, outcomes_of
from client.cohort.case_store import CaseStore, Outcome
from client.cohort.likeness import Pattern, are_two_heads, skull_pattern
from common.study import Study

STUDIES_COMPARED: Final = 3

Candidates = Mapping[str, Sequence[Candidate]]


def by_identity(
    store: CaseStore, candidates: Candidates, study: Study, workers: int | None
) -> tuple[dict[str, list[Candidate]], list[Outcome]]:
    """Candidates by patient, those of shared identifiers by study; and what was built to decide that.

    Args:
        store: where cases are kept.
        candidates: eligible stacks by patient.
        study: whose grid the cases are on.
        workers: processes side by side.

    Raises:
        Refusal: as :func:`client.cohort.building.construct_all`.
    """
    asked = {patient: firsts for patient, found in candidates.items() if (firsts := list(_firsts(found)))}
    seen: dict[str, list[Pattern]] = {patient: [] for patient in asked}
    built: list[Outcome] = []
    for place in range(STUDIES_COMPARED):
        # One comparison suffices to see that two studies show one head, as nearly all do.
        left = [patient for patient, found in seen.items() if len(found) == place and _may_be_shared(found)]
        queues = [[asked[patient][place]] for patient in left]
        for patient, (outcome,) in zip(left, outcomes_of(store, queues, workers), strict=True):
            built.append(outcome)
            if outcome.case_path is not None:
                seen[patient].append(skull_pattern(Case.load(outcome.case_path, study), study.grid.voxel_mm))
    shared = {patient for patient, found in seen.items() if len(found) == STUDIES_COMPARED and _may_be_shared(found)}
    identified: dict[str, list[Candidate]] = defaultdict(list)
    for patient, found in candidates.items():
        for candidate in found:
            name = candidate.study if patient in shared else patient
            identified[name].append(replace(candidate, patient=name))
    return identified, built


def _firsts(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """The best candidate of each of the first studies, if a patient's identifier has so many studies."""
    studies: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.preference):
        studies.setdefault(candidate.study, candidate)
    if len(studies) >= STUDIES_COMPARED and not candidates[0].series.is_by_study:
        yield from list(studies.values())[:STUDIES_COMPARED]


def _may_be_shared(patterns: Sequence[Pattern]) -> bool:
    return len(patterns) < 2 or are_two_heads(patterns)
