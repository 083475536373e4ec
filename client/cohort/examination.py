"""The cohort: every usable case of an archive, built once, kept as long as nothing it depends on changes."""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from client.archive import Plan, Series, VerdictCode, discover, judge_headers, site_pseudonyms
from client.case import Case, Recipe
from client.cohort.building import Candidate, CohortProgress, construct_all
from client.cohort.case_store import CaseStore
from client.cohort.split import split_patients
from client.cohort.verdict_wording import SeriesVerdict
from common.errors import ExitCode, Refusal
from common.exchange import CohortFlow
from common.files import disk_refusals, make_folder
from common.roles import Role
from common.study import Study

SECRET_NAME = "site-secret"  # noqa: S105 - the name of a file
CASES_NAME = "cases"
SPLITS_NAME = "splits"
INDEX_NAME = "archive-index"
LOCK_NAME = "cohort.lock"
# Storage that keeps a reader waiting, such as a network share, is read by this many threads.
READING_THREADS = 8
REPORTS_A_SECOND = 5


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
        """The case, its arrays mapped from the file: many cases take no more memory than what is looked at.

        Raises:
            Refusal: ``IMAGE_INVALID`` if the file went missing or was damaged since the cohort was built.
        """
        return Case.load(self.path, self.study)


@final
@dataclass(frozen=True)
class Findings:
    """What an archive holds for a study, whether or not it is enough.

    Attributes:
        study: the study.
        cases: accepted cases, one per patient, in the order of their pseudonyms.
        flow: series found → eligible by their headers → used, with exclusions by verdict code.
        verdicts: one per series, by pseudonym.
    """

    study: Study
    cases: tuple[CaseFile, ...]
    flow: CohortFlow
    verdicts: tuple[SeriesVerdict, ...]

    def require_enough(self, archive: Path) -> None:
        """Refuse a cohort below the study's minimum.

        Raises:
            Refusal: ``COHORT_TOO_SMALL`` with the counts by verdict.
        """
        flow, needed = self.flow, self.study.cohort.minimum_cases
        if flow.used >= needed:
            return
        reasons = ", ".join(f"{code} {count}" for code, count in flow.excluded.items()) or "none excluded"
        raise Refusal(
            ExitCode.COHORT_TOO_SMALL,
            f"{flow.used} usable cases of {flow.found} series, the study needs {needed} ({reasons})",
            where=str(archive),
            mend="add head CT series to the archive, or mend the excluded ones",
        )


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
    workers: int | None = None,
) -> Cohort:
    """The cohort of an archive for a study and a role: what :func:`examine` finds, if it is enough, split by patient.

    Args:
        archive, study, state, progress, workers: as for :func:`examine`.
        role: ``evaluate`` keeps every case out of training.

    Raises:
        Refusal: as :func:`examine`, and ``COHORT_TOO_SMALL``, or ``SETTINGS_INVALID`` if a split is damaged.
    """
    findings = examine(archive, study, state, progress, workers)
    findings.require_enough(archive)
    pseudonyms = site_pseudonyms(state / SECRET_NAME)
    used = {case.pseudonym: case for case in findings.cases}
    train, validation = split_patients(make_folder(state / SPLITS_NAME), pseudonyms, study, role, sorted(used))
    return Cohort(
        train=tuple(used[patient] for patient in train),
        validation=tuple(used[patient] for patient in validation),
        flow=findings.flow,
        verdicts=findings.verdicts,
    )


def examine(
    archive: Path,
    study: Study,
    state: Path,
    progress: Callable[[CohortProgress], None] | None = None,
    workers: int | None = None,
) -> Findings:
    """Find, judge, and prepare every usable head CT of an archive.

    Each patient gives one case: of the eligible series, the first whose content is accepted, in the order of finer mean
    spacing, then more slices. What was built is reused unless its files, the study's grid, geometry or attenuation, or
    the code that makes cases changed. A series that cannot be used gets a verdict and never stops the build.

    Args:
        archive: folder of DICOM files; only read.
        study: grid, geometry and limits.
        state: the site's private folder for the secret, the cases and the splits.
        progress: called a few times a second while files are looked through, then after each patient.
        workers: processes that build cases side by side; None takes as many as pay and the machine holds.

    Raises:
        Refusal: ``ARCHIVE_UNREADABLE``, ``ARCHIVE_EMPTY``, ``GEOMETRY_INVALID``, ``DISK_FULL``, ``DISK_UNWRITABLE``,
            ``CHILD_FAILED``, or ``SETTINGS_INVALID`` if the secret is damaged.
    """
    pseudonyms = site_pseudonyms(make_folder(state) / SECRET_NAME)
    found = find_series(archive, state, progress)
    recipe = Recipe(study.grid, study.geometry, study.radiograph)
    store = CaseStore(make_folder(state / CASES_NAME), pseudonyms, recipe)
    verdicts: dict[str, VerdictCode] = {}
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for series in found:
        plan = judge_headers(series, study.cohort)
        if isinstance(plan, Plan):
            candidates[series.patient].append(Candidate(series, plan))
        else:
            verdicts[series.series] = plan
    eligible = len(found) - len(verdicts)
    with _alone(state):
        used = construct_all(store, candidates, verdicts, progress, workers)
    return Findings(
        study=study,
        cases=tuple(CaseFile(used[patient], patient, study) for patient in sorted(used)),
        flow=_flow(len(found), eligible, verdicts),
        verdicts=tuple(SeriesVerdict(s.series, s.patient, verdicts[s.series], len(s.slices)) for s in found),
    )


def find_series(
    archive: Path, state: Path, progress: Callable[[CohortProgress], None] | None = None
) -> tuple[Series, ...]:
    """Every series of an archive, from the site's index where nothing changed; raises as :func:`examine` does."""
    pseudonyms = site_pseudonyms(make_folder(state) / SECRET_NAME)
    told = 0.0

    def tell(files: int) -> None:
        nonlocal told
        if progress is not None and time.monotonic() - told > 1 / REPORTS_A_SECOND:
            told = time.monotonic()
            progress(CohortProgress(files=files))

    with _alone(state):
        return discover(archive, pseudonyms, index=state / INDEX_NAME, workers=READING_THREADS, progress=tell)


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


def _flow(found: int, eligible: int, verdicts: dict[str, VerdictCode]) -> CohortFlow:
    counts = Counter(verdicts.values())
    used = counts.pop(VerdictCode.ACCEPTED, 0)
    excluded = {code.value: count for code, count in sorted(counts.items())}
    return CohortFlow(found=found, eligible=eligible, used=used, excluded=excluded)
