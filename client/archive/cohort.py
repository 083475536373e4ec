"""The cohort: every usable case of an archive, built once, kept as long as nothing it depends on changes."""

from __future__ import annotations

import fcntl
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import final

import torch

from client.archive.cache import CaseStore, Outcome
from client.archive.case import Case
from client.archive.construction import Recipe
from client.archive.discovery import Series, discover
from client.archive.plan import Plan
from client.archive.pseudonym import site_pseudonyms
from client.archive.split import split_patients
from client.archive.verdict_codes import SeriesVerdict, VerdictCode
from client.archive.verdicts import judge_headers
from common.errors import ExitCode, Refusal
from common.exchange import CohortFlow, Role
from common.files import disk_refusals, make_folder
from common.study import Study

SECRET_NAME = "site-secret"  # noqa: S105 - the name of a file
CASES_NAME = "cases"
SPLITS_NAME = "splits"
LOCK_NAME = "cohort.lock"


@final
@dataclass(frozen=True)
class CohortProgress:
    """How far a build has come: patients done of all patients with an eligible series, and cases accepted so far."""

    done: int
    total: int
    accepted: int


@final
@dataclass(frozen=True)
class CaseFile:
    """A case on disk.

    Attributes:
        path: the case file.
        pseudonym: the patient's pseudonym.
        study: the study it was made for.
    """

    path: Path
    pseudonym: str
    study: Study

    def load(self) -> Case:
        """Read the case.

        Raises:
            Refusal: ``IMAGE_INVALID`` if the file went missing or was damaged since the cohort was built.
        """
        return Case.load(self.path, self.study)


@final
@dataclass(frozen=True)
class Cohort:
    """A site's accepted cases, one per patient, split by patient.

    Attributes:
        train: cases to train on; empty for a held-out site.
        validation: cases kept for internal validation; all of them for a held-out site.
        flow: series found → eligible by their headers → used, with exclusions by verdict code.
        verdicts: one per series, by pseudonym.
    """

    train: tuple[CaseFile, ...]
    validation: tuple[CaseFile, ...]
    flow: CohortFlow
    verdicts: tuple[SeriesVerdict, ...]


def build_cohort(
    archive: Path,
    study: Study,
    role: Role,
    state: Path,
    progress: Callable[[CohortProgress], None] | None = None,
    workers: int = 1,
) -> Cohort:
    """Find, judge, and prepare every usable head CT of an archive.

    Each patient gives one case: of the eligible series, the first whose content is accepted, in the order of finer mean
    spacing, then more slices. What was built is reused unless its files, the study's grid, geometry or attenuation, or
    the code that makes cases changed. A series that cannot be used gets a verdict and never stops the build.

    Args:
        archive: folder of DICOM files; only read.
        study: grid, geometry and limits.
        role: ``evaluate`` keeps every case out of training.
        state: the site's private folder for the secret, the cases and the splits.
        progress: called after each patient.
        workers: processes that build cases side by side.

    Raises:
        Refusal: ``ARCHIVE_UNREADABLE``, ``ARCHIVE_EMPTY``, ``COHORT_TOO_SMALL``, ``GEOMETRY_INVALID``, ``DISK_FULL``,
            ``DISK_UNWRITABLE``, ``CHILD_FAILED``, or ``SETTINGS_INVALID`` if the secret or a split is damaged.
    """
    pseudonyms = site_pseudonyms(make_folder(state) / SECRET_NAME)
    found = discover(archive, pseudonyms)
    recipe = Recipe(study.grid, study.geometry, study.radiograph)
    store = CaseStore(make_folder(state / CASES_NAME), pseudonyms, recipe)
    verdicts: dict[str, VerdictCode] = {}
    candidates: dict[str, list[_Candidate]] = defaultdict(list)
    for series in found:
        plan = judge_headers(series, study.cohort)
        if isinstance(plan, VerdictCode):
            verdicts[series.series] = plan
        else:
            candidates[series.patient].append(_Candidate(series, plan))
    eligible = len(found) - len(verdicts)
    with _alone(state):
        used = _construct(store, candidates, verdicts, progress, workers)
    flow = _flow(len(found), eligible, verdicts)
    _require_enough(flow, study, archive)
    train, validation = split_patients(make_folder(state / SPLITS_NAME), pseudonyms, study, role, sorted(used))
    return Cohort(
        train=tuple(CaseFile(used[patient], patient, study) for patient in train),
        validation=tuple(CaseFile(used[patient], patient, study) for patient in validation),
        flow=flow,
        verdicts=tuple(SeriesVerdict(s.series, s.patient, verdicts[s.series], len(s.slices)) for s in found),
    )


@final
@dataclass(frozen=True)
class _Candidate:
    series: Series
    plan: Plan


def _construct(
    store: CaseStore,
    candidates: dict[str, list[_Candidate]],
    verdicts: dict[str, VerdictCode],
    progress: Callable[[CohortProgress], None] | None,
    workers: int,
) -> dict[str, Path]:
    """Case files by patient; fills in the verdicts of the candidates."""
    used: dict[str, Path] = {}
    contents: set[str] = set()
    kept: list[Outcome] = []
    queues = [sorted(candidates[patient], key=_preference) for patient in sorted(candidates)]
    with _mapping(workers) as apply:
        for done, (queue, outcomes) in enumerate(zip(queues, apply(store, queues), strict=True), start=1):
            for candidate, outcome in zip(queue, outcomes, strict=False):
                verdicts[candidate.series.series] = outcome.code
                kept.append(outcome)
                if outcome.case_path is None:
                    continue
                if outcome.content in contents:
                    verdicts[candidate.series.series] = VerdictCode.DUPLICATE_CONTENT
                else:
                    contents.add(outcome.content)
                    used[candidate.series.patient] = outcome.case_path
            for candidate in queue[len(outcomes) :]:
                verdicts[candidate.series.series] = VerdictCode.DUPLICATE_OF_PATIENT
            if progress is not None:
                progress(CohortProgress(done, len(queues), len(used)))
    store.prune(kept)
    return used


def _preference(candidate: _Candidate) -> tuple[float, int, str]:
    return round(candidate.plan.spacing_mm, 3), -len(candidate.plan.slices), candidate.series.series


def _patient_outcomes(store: CaseStore, queue: list[_Candidate]) -> list[Outcome]:
    """Outcomes of a patient's series, in order of preference, up to the first that is accepted."""
    outcomes: list[Outcome] = []
    for candidate in queue:
        outcomes.append(store.outcome(candidate.plan, candidate.series.patient))
        if outcomes[-1].case_path is not None:
            break
    return outcomes


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Holds the state folder's lock: a second build waits, and then finds everything built."""
    with disk_refusals(state / LOCK_NAME):
        descriptor = os.open(state / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


_Apply = Callable[[CaseStore, Sequence[list[_Candidate]]], Iterator[list[Outcome]]]


@contextmanager
def _mapping(workers: int) -> Iterator[_Apply]:
    if workers <= 1:
        yield lambda store, queues: (_patient_outcomes(store, queue) for queue in queues)
        return
    # Fresh interpreters: a forked copy of a process with running threads may hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        try:
            yield lambda store, queues: pool.map(_patient_outcomes, [store] * len(queues), queues)
        except BrokenProcessPool as error:
            mend = "start again with fewer workers: what was finished is kept"
            raise Refusal(ExitCode.CHILD_FAILED, "a worker process died", where="cohort", mend=mend) from error


def _flow(found: int, eligible: int, verdicts: dict[str, VerdictCode]) -> CohortFlow:
    counts = Counter(verdicts.values())
    used = counts.pop(VerdictCode.ACCEPTED, 0)
    excluded = {code.value: count for code, count in sorted(counts.items())}
    return CohortFlow(found=found, eligible=eligible, used=used, excluded=excluded)


def _require_enough(flow: CohortFlow, study: Study, archive: Path) -> None:
    if flow.used >= study.cohort.minimum_cases:
        return
    reasons = ", ".join(f"{code} {count}" for code, count in flow.excluded.items()) or "none excluded"
    raise Refusal(
        ExitCode.COHORT_TOO_SMALL,
        f"{flow.used} usable cases of {flow.found} series, the study needs {study.cohort.minimum_cases} ({reasons})",
        where=str(archive),
        mend="add head CT series to the archive, or mend the excluded ones",
    )
