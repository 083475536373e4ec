"""What one sitting showed: kept as it was computed, so that a run goes on where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.pose.errors import head_points_mm, pose_error
from benchmarks.pose.sittings import (
    DISTANCES_WITHIN,
    HEAD_MM,
    TWIN_MM,
    Sitting,
    Volume,
    cut_short,
    sitting,
    with_distances,
    without_distances,
)
from benchmarks.quality.store import Store, code_sha256
from client.pose import ViewPose, estimate_poses, film_drr, film_spectrum, paired_calibration, spectrum_calibration
from client.radiographs import Film
from common.spectrum import head_energy_kev

STATED, UNSTATED = "as stated", "distances not stated"
SOURCE_WRONG, DETECTOR_WRONG = "source distance 10 % wrong", "detector distance 10 % wrong"
CUT: Final = "CT ends at the skull base"
STRANGERS: Final = "other persons' CT"
# No film that the limits of verdicts were chosen with is among these.
FIRST_SEED: Final = 500
CODE: Final = (
    "client/header/film_header.py",
    "client/pose",
    "client/radiographs",
    "client/virtual_films",
    "common/attenuation.py",
    "common/geometry.py",
    "common/spectrum",
    "benchmarks/pose/errors.py",
    "benchmarks/pose/records.py",
    "benchmarks/pose/sittings.py",
)

Record = dict[str, Any]


def sitting_record(
    store: Store, heads: Mapping[str, NDArray[np.int16]], twins: Mapping[str, Volume], person: str, number: int
) -> Record:
    """The record of one person's sitting, computed where there is none.

    Args:
        store: where records are kept.
        heads, twins: of every person.
        person: whose films.
        number: of the sitting.
    """
    key = {"person": person, "number": number, "others": sorted(heads), "code": code_sha256(CODE)}
    known = store.find_record("sittings", key)
    if known is not None:
        return known
    seed = 1000 * int(person) + 10 * number + FIRST_SEED
    record = _computed(sitting(heads[person], seed), heads, twins, person, seed)
    store.keep_record("sittings", key, record)
    return record


def _computed(
    taken: Sitting, heads: Mapping[str, NDArray[np.int16]], twins: Mapping[str, Volume], person: str, seed: int
) -> Record:
    films = [film for film in taken.films if isinstance(film, Film)]
    refused = [film.value for film in taken.films if not isinstance(film, Film)]
    if not films:
        return {"refused": refused}
    points = head_points_mm(heads[person], HEAD_MM)
    wrong = 1 + DISTANCES_WITHIN * (1 if seed % 20 else -1)
    conditions = {
        STATED: films,
        SOURCE_WRONG: [with_distances(film, wrong, 1.0) for film in films],
        DETECTOR_WRONG: [with_distances(film, 1.0, wrong) for film in films],
        UNSTATED: [without_distances(film) for film in films],
    }
    record: Record = {"refused": refused}
    for name, told in (conditions | {CUT: films}).items():
        start = time.process_time()
        found = estimate_poses(told, cut_short(twins[person]) if name == CUT else twins[person], TWIN_MM)
        seconds = (time.process_time() - start) / len(found)
        record[name] = [_view(one, taken, points) | {"cpu_s": seconds} for one in found]
        if name == STATED:
            record["calibration"] = _calibration(films, found, twins[person])
    record[STRANGERS] = [
        {"ct": other, "likeness": one.likeness, "verdict": one.verdict.value}
        for other in sorted(heads)
        if other != person
        for one in estimate_poses(films, twins[other], TWIN_MM)
    ]
    return record


def _view(found: ViewPose, taken: Sitting, points: NDArray[np.float64]) -> Record:
    truth = taken.geometry.lateral_pose if found.room.view else taken.geometry.frontal_pose
    return asdict(pose_error(found, truth, taken.geometry, points)) | {
        "likeness": found.likeness,
        "verdict": found.verdict.value,
        "restarts": found.restarts,
        "magnification": found.room.magnification,
        "true_magnification": taken.geometry.source_detector_mm / taken.geometry.source_patient_mm,
    }


def _calibration(films: Sequence[Film], found: Sequence[ViewPose], volume: Volume) -> Record:
    """Root mean square error of line integrals behind the head: as read, by the spectrum, and fitted to the pair."""
    energy_kev = head_energy_kev(film_spectrum(films[0].kvp))
    drrs = [film_drr(film, one, volume, TWIN_MM, energy_kev) for film, one in zip(films, found, strict=True)]
    spectrum, paired = spectrum_calibration(films, energy_kev), paired_calibration(films, drrs)
    made = {
        "as read": [film.integrals for film in films],
        "by the spectrum": [spectrum.applied(film) for film in films],
        "fitted to the CT": [paired.applied(film) for film in films],
    }
    inside = [film.exposed & (drr > 0.3) & np.isfinite(drr) for film, drr in zip(films, drrs, strict=True)]
    rmse = {
        name: float(
            np.sqrt(
                np.mean(np.concatenate([(i - d)[mask] for i, d, mask in zip(images, drrs, inside, strict=True)]) ** 2)
            )
        )
        for name, images in made.items()
    }
    return {"rmse": rmse, "spectrum": asdict(spectrum), "paired": asdict(paired)}
