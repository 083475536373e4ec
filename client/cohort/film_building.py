"""The films of patients whose CT is used: found in the archive, paired, posed against the CT, kept beside the case."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

import client
from client.archive import Pseudonyms, Series, SliceHeader
from client.case import Case, CaseFilms, FilmFacts, films_beside
from client.cohort.building import CohortProgress, Used
from client.pose import PoseVerdict, ViewPose, estimate_poses, in_study_frame, voltage_calibration
from client.radiographs import (
    DatedCt,
    Film,
    FilmRefused,
    FilmSettings,
    FilmVerdict,
    acquisition_day,
    pair_of,
    read_films,
)
from common.files import write_atomic
from common.study import Study

# What decides a case's films beside its own file, as code.
_CODE: Final = ("client/pose", "client/radiographs", "client/header", "client/dicom", "common/spectrum")
_LEAST_INTEGRAL: Final = 0.3
_OTHER: Final = "OTHER"


@final
class FilmOutcome(BaseModel):
    """What became of a patient's films; it names no file.

    Attributes:
        key: keyed hash of all that it follows from.
        films: the verdict on each image that may be a film.
        pair: ``used``, or why there is no pair; empty where no film could be used.
        poses: the verdicts on frontal and lateral pose, where there is a pair.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    films: tuple[FilmVerdict, ...]
    pair: FilmVerdict | None = None
    poses: tuple[PoseVerdict, ...] = ()

    @property
    def is_used(self) -> bool:
        """Whether the case has films."""
        return bool(self.poses) and PoseVerdict.FAILED not in self.poses


@final
class FilmCounts(BaseModel):
    """What an archive's films came to.

    Attributes:
        films, pairs, poses: images, pairs and poses by verdict.
        cases: cases that have films.
    """

    model_config = ConfigDict(frozen=True)
    films: dict[str, int]
    pairs: dict[str, int]
    poses: dict[str, int]
    cases: int


def build_films(
    used: Mapping[str, Used],
    found: Iterable[Series],
    study: Study,
    pseudonyms: Pseudonyms,
    progress: Callable[[CohortProgress], None] | None = None,
    settings: FilmSettings | None = None,
) -> dict[str, FilmOutcome]:
    """For each patient of a used CT what became of the films; those that can be used lie beside the case.

    Films are built once and kept until films, case, calibration or code change.

    Args:
        used: the cases by patient.
        found: every series of the archive.
        study: grid, geometry, energy and expected scatter.
        pseudonyms: the site's.
        progress: called after each patient.
        settings: how far apart films and CT may be.

    Raises:
        Refusal: ``DISK_FULL``, ``DISK_UNWRITABLE`` or ``CHILD_FAILED``.
    """
    images: dict[str, list[SliceHeader]] = defaultdict(list)
    for series in found:
        images[series.patient].extend(header for header in series.slices if header.modality == _OTHER)
    outcomes: dict[str, FilmOutcome] = {}
    builder = _Builder(study, pseudonyms, settings or FilmSettings())
    for done, (patient, case) in enumerate(sorted(used.items()), start=1):
        own = sorted(images[case.candidate.series.patient], key=lambda header: header.instance)
        outcomes[patient] = builder.outcome(case, own)
        if progress is not None:
            accepted = sum(outcome.is_used for outcome in outcomes.values())
            progress(CohortProgress(done, len(used), accepted))
    return outcomes


def film_counts(outcomes: Iterable[FilmOutcome]) -> FilmCounts:
    """The counts of what became of films."""
    known = list(outcomes)
    return FilmCounts(
        films=_counted(verdict for outcome in known for verdict in outcome.films),
        pairs=_counted(outcome.pair for outcome in known if outcome.pair is not None),
        poses=_counted(verdict for outcome in known for verdict in outcome.poses),
        cases=sum(outcome.is_used for outcome in known),
    )


@final
class _Builder:
    def __init__(self, study: Study, pseudonyms: Pseudonyms, settings: FilmSettings) -> None:
        self._study = study
        self._pseudonyms = pseudonyms
        self._settings = settings

    def outcome(self, case: Used, images: Sequence[SliceHeader]) -> FilmOutcome:
        """Remembered where nothing changed, else built now."""
        key, path = self._key(case, images), films_beside(case.case_path)
        record = path.with_suffix(".json")
        known = _read(record)
        if known is not None and known.key == key and (not known.is_used or self._has_films(path)):
            return known
        films, outcome = self._built(case, images, key)
        path.unlink(missing_ok=True)
        if films is not None:
            films.save(path)
        write_atomic(record, outcome.model_dump_json().encode(), mode=0o600)
        return outcome

    def _has_films(self, path: Path) -> bool:
        return CaseFilms.load(path, self._study.geometry) is not None

    def _key(self, case: Used, images: Sequence[SliceHeader]) -> str:
        facts = (f"{item.instance} {item.size_bytes} {item.modified_ns}" for item in images)
        study = self._study
        sought = study.radiograph.energy_kev, study.film.expected_scatter_to_primary, self._settings
        return self._pseudonyms.of("films", case.case_path.name, code_sha256(), repr(sought), *facts)

    def _built(self, case: Used, images: Sequence[SliceHeader], key: str) -> tuple[CaseFilms | None, FilmOutcome]:
        read = list(read_films((image.path for image in images), self._pseudonyms, self._settings))
        verdicts = tuple(FilmVerdict.USED if isinstance(one, Film) else one for one in read)
        films = [one for one in read if isinstance(one, Film)]
        if not films:
            return None, FilmOutcome(key=key, films=verdicts)
        try:
            pair = pair_of(films, [self._dated(case)], self._settings)
        except FilmRefused as refused:
            return None, FilmOutcome(key=key, films=verdicts, pair=refused.verdict)
        volume = Case.load(case.case_path, self._study)
        both = pair.frontal, pair.lateral
        poses = estimate_poses(both, np.array(volume.volume_hu), self._study.grid.voxel_mm)
        outcome = FilmOutcome(
            key=key, films=verdicts, pair=FilmVerdict.USED, poses=tuple(pose.verdict for pose in poses)
        )
        return (self._framed(both, poses, volume.integrals) if outcome.is_used else None), outcome

    def _dated(self, case: Used) -> DatedCt:
        candidate = case.candidate
        day = acquisition_day(candidate.plan.slices[0].path)
        return DatedCt(candidate.series.series, candidate.series.patient, candidate.study, day)

    def _framed(self, films: tuple[Film, Film], poses: Sequence[ViewPose], drrs: NDArray[np.float32]) -> CaseFilms:
        """Calibrated, on the study's detector, the patient unposed as far as one can."""
        radiograph, scatter = self._study.radiograph, self._study.film.expected_scatter_to_primary
        shown, facts = [], []
        for film, pose, drr in zip(films, poses, drrs, strict=True):
            calibration = voltage_calibration(film.kvp, radiograph.energy_kev, scatter)
            integrals, exposed = in_study_frame(film, calibration.applied(film), self._study.geometry, pose)
            shown.append((integrals, exposed))
            seen = exposed & (drr > _LEAST_INTEGRAL)
            residual = float(np.sqrt(np.mean((integrals - drr)[seen] ** 2))) if seen.any() else 0.0
            facts.append(_facts(film, pose, residual))
        integrals, exposed = (np.stack(images) for images in zip(*shown, strict=True))
        return CaseFilms(integrals, exposed, (facts[0], facts[1]))


def _facts(film: Film, found: ViewPose, residual: float) -> FilmFacts:
    geometry, pose = film.geometry, found.pose
    x, y, z = (round(mm, 2) for mm in pose.translation_mm)
    return FilmFacts(
        pixel_mm=round(film.pixel_mm, 4),
        spacing_origin=geometry.spacing_origin.value,
        magnification_origin=geometry.magnification_origin.value,
        source_patient_mm=geometry.source_patient_mm,
        source_detector_mm=geometry.source_detector_mm,
        magnification=round(found.room.magnification, 4),
        kvp=film.kvp,
        metal_share=round(film.metal_share, 4),
        rotation_deg=(round(pose.pitch_deg, 2), round(pose.roll_deg, 2), round(pose.yaw_deg, 2)),
        translation_mm=(x, y, z),
        depth_is_known=found.depth_is_known,
        likeness=round(found.likeness, 4),
        pose=found.verdict.value,
        residual=round(residual, 4),
    )


def _read(path: Path) -> FilmOutcome | None:
    """The record, or None if it is missing or damaged: it is then made anew."""
    try:
        return FilmOutcome.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _counted(verdicts: Iterable[FilmVerdict | PoseVerdict]) -> dict[str, int]:
    return dict(sorted(Counter(verdict.value for verdict in verdicts).items()))


@lru_cache(maxsize=1)
def code_sha256() -> str:
    """SHA-256 of the code that reads and poses films, this file's included."""
    root = Path(str(client.__file__)).parents[1]
    places = [*(root / place for place in _CODE), Path(__file__)]
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
