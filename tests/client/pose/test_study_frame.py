"""A film comes onto the study's detector as the study's own DRR shows the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from client.pose import ViewPose, estimate_poses, in_study_frame, spectrum_calibration
from client.pose.posed_drr import PosedHead
from client.radiographs import Film
from common.attenuation import water_mu_per_mm
from common.geometry import FrontalView, Geometry, LateralView
from tests.client.pose.conftest import head_hu, scanned_hu, unstated

Pair = tuple[Film, Film]

STUDY = Geometry(detector_shape=(96, 96), pixel_mm=4.0, frontal=FrontalView.AP, lateral=LateralView.RIGHT)
KEV = 40.0


@pytest.fixture(scope="module")
def found(films: Pair) -> tuple[ViewPose, ...]:
    return estimate_poses(films, scanned_hu(3), 2.4)


def study_drr(view: int) -> np.ndarray:
    mu = (np.maximum(head_hu(3), -1000) + 1000) / 1000 * np.float32(water_mu_per_mm(KEV))
    return PosedHead.of(mu, 1.8, STUDY.beams[view]).integrals(STUDY, STUDY.beams[view])


@pytest.mark.parametrize("view", [0, 1])
def test_a_posed_film_comes_near_to_the_studys_drr(films: Pair, found: tuple[ViewPose, ...], view: int) -> None:
    film, drr = films[view], study_drr(view)
    integrals = spectrum_calibration([film], KEV).applied(film)
    posed, exposed = in_study_frame(film, integrals, STUDY, found[view])
    unposed, _ = in_study_frame(film, integrals, STUDY, None)
    assert posed.shape == exposed.shape == STUDY.detector_shape
    seen = exposed & (drr > 0.3)
    assert seen.sum() > 0.9 * (drr > 0.3).sum()
    errors = [np.abs(image - drr)[seen].mean() for image in (posed, unposed, posed[:, ::-1])]
    assert errors[0] < 0.6 * errors[1]
    assert errors[0] < 0.5 * errors[2]


@pytest.mark.parametrize("view", [0, 1])
def test_a_point_of_the_patients_middle_plane_lies_where_the_study_sees_it(
    films: Pair, found: tuple[ViewPose, ...], view: int
) -> None:
    """A spot drawn on the film where a point of the patient is seen comes out where the study's rays meet the point."""
    one, room, pose = films[view], found[view].room, found[view].pose
    along, across = (0, 1) if view else (1, 0)
    point = np.zeros(3)
    point[2], point[across] = 41.0, -28.0
    placed = pose.rotation @ point + np.array(pose.translation_mm)
    scale = room.source_detector_mm / (room.source_patient_mm - room.side * placed[along]) / one.pixel_mm
    rows, columns = one.integrals.shape
    spot = np.zeros(one.integrals.shape, np.float32)
    spot[round((rows - 1) / 2 - placed[2] * scale), round((columns - 1) / 2 + placed[across] * scale)] = 100.0
    image, _ = in_study_frame(one, ndimage.gaussian_filter(spot, 4.0), STUDY, found[view])
    middle = ndimage.center_of_mass(image)
    magnified = STUDY.source_detector_mm / STUDY.source_patient_mm / STUDY.pixel_mm
    assert middle == pytest.approx((95 / 2 - 41.0 * magnified, 95 / 2 - 28.0 * magnified), abs=0.4)


def test_without_a_pose_the_head_is_as_large_as_the_assumed_magnification_says(films: Pair) -> None:
    film = films[0]
    (other,) = unstated([film])
    one, two = (in_study_frame(f, film.integrals, STUDY, None)[0] > 0.5 for f in (film, other))
    assert np.sqrt(two.sum() / one.sum()) == pytest.approx(1150 / 950 / 1.2, abs=0.01)


def test_what_the_film_does_not_show_is_not_exposed(films: Pair) -> None:
    film = films[0]
    narrow = replace(film, exposed=film.exposed & (np.arange(film.exposed.shape[1]) < 80))
    _, exposed = in_study_frame(narrow, film.integrals, STUDY, None)
    assert exposed[:, :30].any()
    assert not exposed[:, 60:].any()
