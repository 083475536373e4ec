"""A film's pose is found from its content, told apart from another person's, and the same each time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage, optimize

from client.pose import PoseVerdict, ViewPose, estimate_poses, film_drr, film_spectrum
from client.pose.film_levels import film_level
from client.pose.pair_pose import COARSE_MM
from client.pose.posed_drr import PosedHead, film_mu_per_mm, resampled
from client.pose.view_fit import Room, ViewFit
from client.radiographs import Film
from common.errors import Refusal
from common.geometry import FrontalView, Grid, LateralView, Pose
from common.projection import Projector
from tests.client.pose.conftest import POSES, ROOM, scanned_hu, unstated

Pair = tuple[Film, Film]


def turn_deg(one: Pose, other: Pose) -> float:
    return math.degrees(math.acos(min((np.trace(one.rotation @ other.rotation.T) - 1) / 2, 1.0)))


def apart_mm(found: ViewPose, truth: Pose) -> tuple[float, float]:
    """Across the beam, and along it."""
    away = np.subtract(found.pose.translation_mm, truth.translation_mm)
    along = 0 if found.room.view else 1
    return float(np.linalg.norm(np.delete(away, along))), abs(float(away[along]))


def shown_mm(pose: Pose, room: Room) -> NDArray[np.float64]:
    """Where points of the head are seen, (point, 2): superior and along the columns, scaled to the isocentre."""
    x, y, z = np.meshgrid([-60.0, 60.0], [-70.0, 70.0], [-60.0, 60.0])
    points = np.stack((x, y, z), axis=-1).reshape(-1, 3) @ pose.rotation.T + np.array(pose.translation_mm)
    along, across = (0, 1) if room.view else (1, 0)
    scale = room.source_patient_mm / (room.source_patient_mm - room.side * points[:, along])
    return np.stack((points[:, 2] * scale, points[:, across] * scale), axis=-1) * (
        room.magnification * ROOM.source_patient_mm / ROOM.source_detector_mm
    )


@pytest.fixture(scope="module")
def found(films: Pair) -> tuple[ViewPose, ...]:
    return estimate_poses(films, scanned_hu(3), 2.4)


@pytest.mark.parametrize("view", [0, 1])
def test_the_pose_of_a_film_with_all_its_physics_is_found(found: tuple[ViewPose, ...], view: int) -> None:
    across, along = apart_mm(found[view], POSES[view])
    assert turn_deg(found[view].pose, POSES[view]) < 0.5
    assert across < 0.5
    assert along < 5
    assert found[view].depth_is_known
    assert found[view].verdict is PoseVerdict.FOUND
    assert found[view].room == Room((FrontalView.PA, LateralView.LEFT)[view], 950.0, 1150.0, is_known=True)


def test_equal_inputs_give_equal_poses(films: Pair, found: tuple[ViewPose, ...]) -> None:
    assert estimate_poses(films, scanned_hu(3), 2.4) == found
    assert estimate_poses([films[1]], scanned_hu(3), 2.4) == found[1:]


def test_another_persons_ct_and_a_mirrored_film_are_told(films: Pair, found: tuple[ViewPose, ...]) -> None:
    mirrored = [
        replace(film, integrals=film.integrals[:, ::-1].copy(), exposed=film.exposed[:, ::-1].copy()) for film in films
    ]
    for wrong in (estimate_poses(films, scanned_hu(6), 2.4), estimate_poses(mirrored, scanned_hu(3), 2.4)):
        assert PoseVerdict.FOUND not in {one.verdict for one in wrong}
        assert all(one.likeness < right.likeness - 0.05 for one, right in zip(wrong, found, strict=True))
    noise = np.random.default_rng(1).normal(1.5, 0.5, films[0].integrals.shape).astype(np.float32)
    (nothing,) = estimate_poses([replace(films[0], integrals=noise)], scanned_hu(3), 2.4)
    assert nothing.verdict is PoseVerdict.FAILED


def test_a_ct_that_ends_at_the_skull_base_is_posed_by_what_it_shows(films: Pair) -> None:
    short = scanned_hu(3).copy()
    short[:34] = -1000
    for one, truth in zip(estimate_poses(films, short, 2.4), POSES, strict=True):
        assert turn_deg(one.pose, truth) < 1
        assert apart_mm(one, truth)[0] < 1
        assert one.verdict is PoseVerdict.FOUND


def test_a_films_own_drr_knows_nothing_of_what_was_not_scanned(films: Pair, found: tuple[ViewPose, ...]) -> None:
    whole = film_drr(films[0], found[0], scanned_hu(3), 2.4, 40.0)
    short = scanned_hu(3).copy()
    short[:34] = -1000
    cut = film_drr(films[0], found[0], short, 2.4, 40.0)
    assert whole.shape == films[0].integrals.shape
    assert np.corrcoef(whole[(whole > 0.5)], films[0].integrals[whole > 0.5])[0, 1] > 0.6
    unknown = np.isnan(cut)
    # Below the jaw's height every ray that passes the head's middle meets what was not scanned.
    assert unknown[-40:-20, 60:110].all()
    assert not unknown[:60].any()
    # Above the end both are one image.
    assert np.array_equal(cut[:60], whole[:60])


def test_without_stated_distances_the_head_is_seen_where_it_was(films: Pair) -> None:
    found = estimate_poses(unstated(films), scanned_hu(3), 2.4)
    assert found[0].room.magnification == found[1].room.magnification == pytest.approx(1150 / 950, rel=0.02)
    for one, truth, direction in zip(found, POSES, (FrontalView.PA, LateralView.LEFT), strict=True):
        assert not one.depth_is_known
        away = np.linalg.norm(shown_mm(one.pose, one.room) - shown_mm(truth, Room(direction, 950, 1150, True)), axis=1)
        assert np.median(away) < 1.0
        assert one.verdict is PoseVerdict.FOUND


def test_a_beam_whose_direction_is_not_stated_is_found_by_likeness(films: Pair, found: tuple[ViewPose, ...]) -> None:
    untold = [replace(film, direction=None) for film in films]
    again = estimate_poses(untold, scanned_hu(3), 2.4)
    assert [one.room for one in again] == [one.room for one in found]


def test_no_plain_search_with_the_projector_finds_a_pose_that_is_more_alike(films: Pair) -> None:
    """Powell's method on DRRs of the training projector and windows by scipy: slow, and nothing of the fast path."""
    film, truth = films[0], POSES[0]
    room = Room(FrontalView.PA, 950.0, 1150.0, is_known=True)
    mu = resampled(film_mu_per_mm(scanned_hu(3), film_spectrum(film.kvp)), 2.4, COARSE_MM)
    level = film_level(film, COARSE_MM, room.magnification)
    geometry = room.geometry(level)
    fit = ViewFit(PosedHead.of(mu, COARSE_MM, geometry.beams[0]), level, room)
    quick = fit.pose(fit.refined(fit.searched(np.zeros(6), seed=1))[0])
    projector = Projector(Grid(shape=mu.shape, voxel_mm=COARSE_MM), geometry)
    volume = torch.from_numpy(mu)[None, None]

    def unlike(numbers: NDArray[np.float64]) -> float:
        with torch.inference_mode():
            drr = projector.project_posed(volume, [(fit.pose(numbers), Pose())])[0, 0].numpy().astype(np.float64)
        return -plain_likeness(level.integrals.astype(np.float64), drr, level.counted)

    options = {"maxiter": 3, "xtol": 0.01, "ftol": 1e-5}
    plain = optimize.minimize(unlike, np.zeros(6), method="Powell", bounds=[(-3, 3)] * 6, options=options)
    slow = fit.pose(plain.x)
    assert turn_deg(slow, truth) < 2
    assert turn_deg(slow, quick) < 1
    assert np.abs(np.subtract(slow.translation_mm, quick.translation_mm))[[0, 2]].max() < 1


def plain_likeness(film: NDArray[np.float64], drr: NDArray[np.float64], counted: NDArray[np.bool_]) -> float:
    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        share = ndimage.uniform_filter(counted.astype(np.float64), 9, mode="constant")
        return ndimage.uniform_filter(image * counted, 9, mode="constant") / np.maximum(share, 1e-3)

    one, other, both = mean(film), mean(drr), mean(film * drr)
    spreads = (mean(film**2) - one**2).clip(0), (mean(drr**2) - other**2).clip(0)
    local = (both - one * other) / np.sqrt((spreads[0] + 2.5e-4) * (spreads[1] + 2.5e-4))
    weight = counted * spreads[0] / (spreads[0] + 1e-3)
    return float((local * weight).sum() / weight.sum())


def test_two_films_of_one_view_and_coarse_cts_are_refused(films: Pair) -> None:
    with pytest.raises(Refusal, match="not one of each view"):
        estimate_poses([films[0], films[0]], scanned_hu(3), 2.4)
    with pytest.raises(Refusal, match="voxels of 9 mm"):
        estimate_poses(films, scanned_hu(3), 9.0)
