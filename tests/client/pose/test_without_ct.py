"""Films of which there is no CT are centred and turned by the average head, and no further than it can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from client.pose import ViewPose, poses_without_ct
from client.radiographs import Film
from tests.client.pose.conftest import POSES, ROOM, unstated


@pytest.fixture(scope="module")
def found(films: tuple[Film, Film]) -> tuple[ViewPose | None, ...]:
    return poses_without_ct(films)


def test_the_middle_of_another_persons_head_is_found_to_millimetres(found: tuple[ViewPose | None, ...]) -> None:
    for view, (one, truth) in enumerate(zip(found, POSES, strict=True)):
        assert one is not None
        across = [axis for axis in range(3) if axis != 1 - view]
        away = np.subtract(one.pose.translation_mm, truth.translation_mm)[across]
        nominal = np.array(truth.translation_mm)[across]
        assert np.linalg.norm(away) < 7.0 < np.linalg.norm(nominal)


def test_depth_stays_nominal_and_stated_distances_are_kept(found: tuple[ViewPose | None, ...]) -> None:
    for view, one in enumerate(found):
        assert one is not None
        assert one.pose.translation_mm[1 - view] == 0.0
        assert not one.depth_is_known
        assert one.room.source_detector_mm == ROOM.source_detector_mm
        assert one.room.source_patient_mm == ROOM.source_patient_mm


def test_a_stated_magnification_is_kept_and_one_that_is_not_follows_the_heads_size(films: tuple[Film, Film]) -> None:
    loose = poses_without_ct(unstated(films))
    told = [
        replace(film, geometry=replace(film.geometry, magnification_origin=films[0].geometry.magnification_origin))
        for film in unstated(films)
    ]
    kept = poses_without_ct(told)
    true = ROOM.source_detector_mm / ROOM.source_patient_mm
    assert all(one is not None and one.room.magnification == pytest.approx(1.2) for one in kept)
    assert all(one is not None and one.room.magnification == pytest.approx(true, rel=0.08) for one in loose)
    assert all(one is not None and one.room.magnification != pytest.approx(1.2, abs=1e-3) for one in loose)


def test_what_is_like_no_head_in_any_pose_keeps_its_nominal_one(films: tuple[Film, Film]) -> None:
    noise = np.random.default_rng(1).normal(2, 1, films[0].integrals.shape).astype(np.float32)
    assert poses_without_ct([replace(films[0], integrals=noise)]) == (None,)
