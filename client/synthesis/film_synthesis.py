"""From two chosen films to a synthetic CT, and to the folder that is left of it: whole, or not there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray

from client.pose import ViewPose
from client.synthesis.film_choice import ChosenFilm, ChosenPair
from client.synthesis.nifti_volume import nifti_bytes
from client.synthesis.prepared_films import PreparedFilms, film_reprojection_error, prepared_films, reprojected
from client.synthesis.reprojection_pictures import reprojection_pictures
from client.synthesis.series_origin import MARK, SeriesOrigin
from client.synthesis.synthesiser import SyntheticCt, synthesize_with_sd
from client.synthesis.synthetic_ct import dicom_bytes, synthetic_slices, write_slices
from client.synthesis.uncertainty_map import uncertainty_map
from common.errors import ExitCode, Refusal
from common.files import make_folder, whole_folder, write_atomic
from common.release import NetworkRelease

CT_FOLDER: Final = "ct"
_NOTE: Final = MARK.replace("–", "-")


@final
@dataclass(frozen=True)
class FilmSynthesis:
    """A synthetic CT with all that it was made of and can be judged by.

    Attributes:
        pair: the films.
        films: the same as the network was given them.
        made: volume and uncertainty.
        projected: (2, rows, columns) line integrals of the volume.
        reprojection: mean absolute difference from the films' where they were exposed.
    """

    pair: ChosenPair
    films: PreparedFilms
    made: SyntheticCt
    projected: NDArray[np.float32]
    reprojection: float


def film_synthesis(
    pair: ChosenPair, release: NetworkRelease, *, refine_poses: bool = True, device: torch.device | None = None
) -> FilmSynthesis:
    """A synthetic CT of two films by a released network.

    Args:
        pair: the films.
        release: the network, verified.
        refine_poses: as :func:`client.synthesis.prepared_films.prepared_films` says.
        device: where the network runs; the CPU by default.

    Raises:
        Refusal: ``OUT_OF_DISTRIBUTION`` if the re-projection error is above the release's limit; ``GEOMETRY_INVALID``.
    """
    study = release.card.study
    films = prepared_films(pair, study, refine_poses=refine_poses)
    made = synthesize_with_sd(study, release.weights, films.integrals, device)
    projected = reprojected(study, made.volume_hu)
    error, limit = film_reprojection_error(films, projected), release.card.reprojection_limit
    if limit is not None and not error <= limit:
        what = f"the synthetic CT projects onto other films than these: error {error:.3f}, and {limit:.3f} is allowed"
        where = ", ".join(one.place for one in pair.both)
        mend = "look at both films; this network was not made for them"
        raise Refusal(ExitCode.OUT_OF_DISTRIBUTION, what, where=where, mend=mend)
    return FilmSynthesis(pair, films, made, projected, error)


def write_film_synthesis(
    folder: Path,
    synthesis: FilmSynthesis,
    release: NetworkRelease,
    *,
    de_identified: bool = False,
    burn_in: bool = False,
) -> None:
    """Write the CT series (``ct/``), NIfTI, uncertainty, re-projections and record: all of it, or nothing.

    Args:
        folder: created, or empty.
        synthesis: what is written.
        release: the network it was made by.
        de_identified: whether the series is nobody's, instead of the films' patient's and study's.
        burn_in: whether the mark stands in the pixels of the DICOM slices as well.

    Raises:
        Refusal: ``USAGE`` if the folder holds anything, ``IMAGE_INVALID`` if the mark has no place, ``DISK_FULL`` or
            ``DISK_UNWRITABLE``.
    """
    grid, made = release.card.study.grid, synthesis.made
    origin = SeriesOrigin() if de_identified else SeriesOrigin.of(synthesis.pair)
    provenance = provenance_of(release)
    slices = synthetic_slices(made.volume_hu, grid, provenance, origin, burn_in=burn_in)
    files = {"synthetic-ct.nii.gz": nifti_bytes(made.volume_hu, grid, _NOTE)}
    if made.sd_hu is not None:
        files["uncertainty.dcm"] = dicom_bytes(uncertainty_map(made.sd_hu, slices, provenance, origin))
        files["uncertainty.nii.gz"] = nifti_bytes(made.sd_hu, grid, _NOTE)
    files |= reprojection_pictures(synthesis.films, synthesis.projected)
    files["synthesis.json"] = f"{json.dumps(record_of(synthesis, release), indent=1)}\n".encode()
    with whole_folder(folder) as place:
        write_slices(make_folder(place / CT_FOLDER), slices)
        for name, content in files.items():
            write_atomic(place / name, content)


def provenance_of(release: NetworkRelease) -> str:
    """What made a volume, in words."""
    card = release.card
    return (
        f"study {card.study_sha256[:16]}, generator {card.generator_sha256[:16]}, released from round {card.round} of "
        f"run {card.run}"
    )


def record_of(synthesis: FilmSynthesis, release: NetworkRelease) -> dict[str, Any]:
    """What was concluded on the way, for programs; nothing of it names a patient."""
    card, calibration = release.card, synthesis.films.calibration
    return {
        "mark": MARK,
        "study_sha256": card.study_sha256,
        "generator_sha256": card.generator_sha256,
        "run": card.run,
        "round": card.round,
        "reprojection": {"error": round(synthesis.reprojection, 6), "limit": card.reprojection_limit},
        "calibration": {
            "gain": calibration.gain,
            "square": calibration.square,
            "scatter_to_primary": calibration.scatter_to_primary,
            "origin": calibration.origin.value,
        },
        "films": [
            _film_record(one, pose) for one, pose in zip(synthesis.pair.both, synthesis.films.poses, strict=True)
        ],
    }


def _film_record(chosen: ChosenFilm, pose: ViewPose | None) -> dict[str, Any]:
    film, geometry = chosen.film, chosen.film.geometry
    return {
        "view": chosen.view,
        "view_by": chosen.view_by,
        "direction": None if film.direction is None else film.direction.value,
        "pixel_mm": film.pixel_mm,
        "spacing_origin": geometry.spacing_origin.value,
        "source_detector_mm": geometry.source_detector_mm,
        "source_patient_mm": geometry.source_patient_mm,
        "magnification": geometry.magnification,
        "magnification_origin": geometry.magnification_origin.value,
        "kvp": film.kvp,
        "notes": list(film.notes),
        "pose": "nominal" if pose is None else {**pose.pose.model_dump(), "likeness": round(pose.likeness, 4)},
    }
