"""The cohort: every usable case of an archive, built once, kept as long as nothing it depends on changes."""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from client.archive import Series, VerdictCode, discover, judge_series, site_pseudonyms
from client.case import Case, Recipe
from client.cohort.building import Candidate, CohortProgress, construct_all
from client.cohort.case_store import CaseStore
from client.cohort.film_building import FilmCounts, build_films, film_counts
from client.cohort.identity import by_identity
from client.cohort.likeness import may_be_one, skull_pattern
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
_REFUTED = frozenset({VerdictCode.REPEATED_ACQUISITIONS, VerdictCode.DUPLICATE_SLICES})


@final
@dataclass(frozen=True)
class CaseFile:
    """A case on disk.

    Attributes:
        path: the case file.
        pseudonym: the patient's pseudonym, or that of the study that stands for one.
        study: the study it was made for.
        is_by_study: whether the patient is known by the study alone.
    """

    path: Path
    pseudonym: str
    study: Study
    is_by_study: bool = False

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
        set_aside: images of the series used that were left out, by why.
        films: what the patients' films came to; None where the study has none.
    """

    study: Study
    cases: tuple[CaseFile, ...]
    flow: CohortFlow
    verdicts: tuple[SeriesVerdict, ...]
    set_aside: Mapping[str, int] = field(default_factory=dict)
    films: FilmCounts | None = None

    @property
    def by_study(self) -> int:
        """Cases whose patients are known by their studies alone."""
        return sum(case.is_by_study for case in self.cases)

    def alike(self) -> list[frozenset[str]]:
        """Groups of patients known by their studies alone who may be one, by the heads of their cases, which are read.

        Raises:
            Refusal: as :meth:`CaseFile.load`.
        """
        unnamed = [case for case in self.cases if case.is_by_study]
        voxel_mm = self.study.grid.voxel_mm
        return may_be_one({case.pseudonym: skull_pattern(case.load(), voxel_mm) for case in unnamed})

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
    folder = make_folder(state / SPLITS_NAME)
    train, validation = split_patients(folder, pseudonyms, study, role, sorted(used), findings.alike)
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

    Each patient gives one case: of the eligible stacks, the first whose content is accepted, in the order of finer mean
    spacing, then more slices. Where an identifier names nobody, or evidently several, each study is a patient. What was
    built is reused unless its files, the study's grid, geometry or attenuation, or the code that makes cases changed. A
    series that cannot be used gets a verdict and never stops the build.

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
    # Which radiographs a study takes of a case decides nothing of the case itself.
    recipe = Recipe(study.grid, study.geometry, study.radiograph.model_copy(update={"source": "drr"}))
    store = CaseStore(make_folder(state / CASES_NAME), pseudonyms, recipe)
    verdicts: dict[str, VerdictCode] = {}
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for series in found:
        judged = judge_series(series, study.cohort)
        for place, plan in enumerate(judged.plans):
            candidates[series.patient].append(Candidate(series, plan, series.patient, place))
        if not judged.plans:
            verdicts[series.series] = judged.code
    eligible = len(found) - len(verdicts)
    with _alone(state):
        identified, built = by_identity(store, candidates, study, workers)
        used = construct_all(store, identified, verdicts, progress, workers, built)
        films = {} if study.radiograph.source == "drr" else build_films(used, found, study, pseudonyms, progress)
    if study.radiograph.source == "film":
        for patient in [patient for patient, outcome in films.items() if not outcome.is_used]:
            verdicts[used.pop(patient).candidate.series.series] = VerdictCode.WITHOUT_FILMS
    patients = {candidate.series.series: candidate.patient for one in identified.values() for candidate in one}
    # What pixels refute was eligible only as long as slices of one place could be copies.
    eligible -= sum(verdicts[name] in _REFUTED for name in patients)
    return Findings(
        study=study,
        cases=tuple(
            CaseFile(used[name].case_path, name, study, is_by_study=name == used[name].candidate.study)
            for name in sorted(used)
        ),
        flow=_flow(len(found), eligible, verdicts),
        verdicts=tuple(
            SeriesVerdict(s.series, patients.get(s.series, s.patient), verdicts[s.series], len(s.slices)) for s in found
        ),
        set_aside=_set_aside(case.candidate for case in used.values()),
        films=film_counts(films.values()) if study.radiograph.source != "drr" else None,
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


def _set_aside(used: Iterable[Candidate]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for candidate in used:
        counts.update(candidate.plan.set_aside)
    return dict(sorted(counts.items()))


def _flow(found: int, eligible: int, verdicts: dict[str, VerdictCode]) -> CohortFlow:
    counts = Counter(verdicts.values())
    used = counts.pop(VerdictCode.ACCEPTED, 0)
    excluded = {code.value: count for code, count in sorted(counts.items())}
    return CohortFlow(found=found, eligible=eligible, used=used, excluded=excluded)
