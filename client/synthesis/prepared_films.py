"""Two films as the network expects its radiographs: calibrated to the study's spectrum, posed, on its detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from client.pose import FilmCalibration, ViewPose, in_study_frame, poses_without_ct, spectrum_calibration
from client.synthesis.film_choice import ChosenPair
from common.attenuation import hu_to_mu
from common.metrics import reprojection_error
from common.projection import Projector
from common.study import Study

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@final
@dataclass(frozen=True)
class PreparedFilms:
    """A pair of films in the study's frame.

    Attributes:
        integrals: (2, rows, columns) float32 line integrals as the study's DRRs have them; beyond what was exposed
            each is that of the nearest exposed pixel.
        exposed: (2, rows, columns), where the films show patient or open field.
        calibration: of both films.
        poses: how the patient was taken to lie in each view; None where attributes and nominal geometry were kept.
    """

    integrals: Image
    exposed: Mask
    calibration: FilmCalibration
    poses: tuple[ViewPose | None, ...]


def prepared_films(pair: ChosenPair, study: Study, *, refine_poses: bool = True) -> PreparedFilms:
    """Films as the study's network expects them.

    Args:
        pair: as it was chosen.
        study: whose geometry and spectrum count.
        refine_poses: whether the films are registered to the average head; otherwise the patient is taken to lie as
            attributes and nominal geometry say.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if films and study do not fit together.
    """
    films = [one.film for one in pair.both]
    calibration = spectrum_calibration(films, study.radiograph.energy_kev)
    poses: tuple[ViewPose | None, ...] = poses_without_ct(films) if refine_poses else (None, None)
    seen = [
        in_study_frame(film, calibration.applied(film), study.geometry, pose)
        for film, pose in zip(films, poses, strict=True)
    ]
    integrals, exposed = (np.stack(part) for part in zip(*seen, strict=True))
    return PreparedFilms(integrals.astype(np.float32), exposed.astype(np.bool_), calibration, poses)


def reprojected(study: Study, volume_hu: NDArray[np.int16]) -> Image:
    """(2, rows, columns) line integrals of a volume on the study's grid, in the study's geometry."""
    clipped = torch.from_numpy(volume_hu.astype(np.float32)).clamp(study.window.low_hu, study.window.high_hu)
    with torch.inference_mode():
        mu_per_mm = hu_to_mu(clipped[None, None], study.radiograph.water_mu_per_mm)
        made: Image = Projector(study.grid, study.geometry)(mu_per_mm)[0].numpy()
    return made


def film_reprojection_error(films: PreparedFilms, projected: Image) -> float:
    """:func:`common.metrics.reprojection_error` over the exposed pixels of both views: what a release limits."""
    inside = torch.from_numpy(films.exposed)
    return reprojection_error(torch.from_numpy(films.integrals)[inside], torch.from_numpy(projected)[inside])
