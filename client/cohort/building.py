"""Builds the cases of an archive's eligible series, patient by patient, side by side where that pays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import final

import psutil
import torch

from client.archive import Plan, Series, VerdictCode
from client.cohort.case_store import CaseStore, Outcome
from common.errors import ExitCode, Refusal

# A fresh interpreter takes as long to start as several cases take to build.
PATIENTS_WORTH_A_WORKER = 8
WORKER_BYTES = 2 << 30


@final
@dataclass(frozen=True)
class Candidate:
    """A stack of a series that its headers make eligible.

    Attributes:
        series: the series.
        plan: the stack.
        patient: pseudonym of the patient, or of the study that stands for one.
        place: of the stack among those of its series, best first.
    """

    series: Series
    plan: Plan
    patient: str
    place: int = 0

    @property
    def preference(self) -> tuple[float, int, str, int]:
        """Sorts a patient's stacks, best first: finer mean spacing, then more slices, then by pseudonym."""
        return round(self.plan.spacing_mm, 3), -len(self.plan.slices), self.series.series, self.place

    @property
    def study(self) -> str:
        """Pseudonym of the study."""
        return self.plan.slices[0].study


@final
@dataclass(frozen=True)
class Used:
    """A case, and the stack it was made from."""

    case_path: Path
    candidate: Candidate


@final
@dataclass(frozen=True)
class CohortProgress:
    """How far a build has come.

    Attributes:
        done, total: patients done, of all patients with an eligible series; both 0 while files are looked through.
        accepted: cases accepted so far.
        files: files looked through; 0 once that is over.
    """

    done: int = 0
    total: int = 0
    accepted: int = 0
    files: int = 0


def construct_all(
    store: CaseStore,
    candidates: Mapping[str, Sequence[Candidate]],
    verdicts: dict[str, VerdictCode],
    progress: Callable[[CohortProgress], None] | None,
    workers: int | None,
    kept: Iterable[Outcome] = (),
) -> dict[str, Used]:
    """Case files by patient; fills in the verdicts of the candidates.

    A series of several stacks is accepted if one of them is; else its verdict is that of its best one.

    Args:
        store: where cases are kept.
        candidates: eligible stacks by patient.
        verdicts: by series; added to.
        progress: called after each patient.
        workers: processes side by side; None takes as many as pay and the machine holds.
        kept: outcomes that were needed before, and stay.

    Raises:
        Refusal: ``DISK_FULL``, ``DISK_UNWRITABLE``, ``GEOMETRY_INVALID`` or ``CHILD_FAILED``.
    """
    used: dict[str, Used] = {}
    contents: set[str] = set()
    kept = list(kept)
    queues = [sorted(candidates[patient], key=lambda candidate: candidate.preference) for patient in sorted(candidates)]
    for done, (queue, outcomes) in enumerate(zip(queues, outcomes_of(store, queues, workers), strict=True), start=1):
        for candidate, outcome in zip(queue, outcomes, strict=False):
            kept.append(outcome)
            name, code = candidate.series.series, outcome.code
            if outcome.case_path is None:
                verdicts.setdefault(name, code)
            elif outcome.content in contents:
                verdicts[name] = VerdictCode.DUPLICATE_CONTENT
            else:
                contents.add(outcome.content)
                verdicts[name] = code
                used[candidate.patient] = Used(outcome.case_path, candidate)
        for candidate in queue[len(outcomes) :]:
            if verdicts.get(candidate.series.series) is not VerdictCode.ACCEPTED:
                verdicts[candidate.series.series] = VerdictCode.DUPLICATE_OF_PATIENT
        if progress is not None:
            progress(CohortProgress(done, len(queues), len(used)))
    store.prune(kept)
    return used


def outcomes_of(store: CaseStore, queues: list[list[Candidate]], workers: int | None) -> Iterator[list[Outcome]]:
    """The outcomes of each queue of stacks, in order, up to the first that is accepted."""
    known = [_remembered(store, queue) for queue in queues]
    pending = [queue for queue, outcomes in zip(queues, known, strict=True) if outcomes is None]
    with _mapping(min(workers or _worthwhile(len(pending)), len(pending))) as apply:
        built = apply(store, pending)
        for outcomes in known:
            yield next(built) if outcomes is None else outcomes


def _worthwhile(patients: int) -> int:
    """Processes that pay for so many patients on this machine."""
    room = psutil.virtual_memory().available // WORKER_BYTES
    return max(1, min(len(os.sched_getaffinity(0)), patients // PATIENTS_WORTH_A_WORKER, room))


def _remembered(store: CaseStore, queue: Sequence[Candidate]) -> list[Outcome] | None:
    """A patient's outcomes if all that are needed are known at a glance."""
    outcomes: list[Outcome] = []
    for candidate in queue:
        outcome = store.remembered(candidate.plan, candidate.patient)
        if outcome is None:
            return None
        outcomes.append(outcome)
        if outcome.case_path is not None:
            break
    return outcomes


def _patient_outcomes(store: CaseStore, queue: Sequence[Candidate]) -> list[Outcome]:
    """Outcomes of a patient's series, in order of preference, up to the first that is accepted."""
    outcomes: list[Outcome] = []
    for candidate in queue:
        outcomes.append(store.outcome(candidate.plan, candidate.patient))
        if outcomes[-1].case_path is not None:
            break
    return outcomes


_Apply = Callable[[CaseStore, Sequence[Sequence[Candidate]]], Iterator[list[Outcome]]]


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
