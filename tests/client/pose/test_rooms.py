"""What is not stated of a room is taken for usual, and said so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client.pose.rooms import common_magnification, magnification_sd, rooms_of
from client.radiographs import Film, Origin
from common.geometry import FrontalView, LateralView
from tests.client.pose.conftest import unstated

Pair = tuple[Film, Film]


def test_stated_distances_are_kept(films: Pair) -> None:
    (room,) = rooms_of(films[1])
    assert (room.direction, room.source_patient_mm, room.source_detector_mm) == (LateralView.LEFT, 950.0, 1150.0)
    assert room.is_known
    assert room.view == 1
    assert room.magnification == pytest.approx(1150 / 950)


def test_what_is_missing_follows_from_what_is_there(films: Pair) -> None:
    film = unstated(films)[0]
    (room,) = rooms_of(film)
    assert (room.source_patient_mm, room.source_detector_mm, room.is_known) == (1000.0, 1200.0, False)
    (room,) = rooms_of(replace(film, geometry=replace(film.geometry, source_detector_mm=1800.0)))
    assert (room.source_patient_mm, room.source_detector_mm, room.is_known) == (1500.0, 1800.0, False)
    (room,) = rooms_of(replace(film, geometry=replace(film.geometry, source_patient_mm=900.0)))
    assert room.source_detector_mm == pytest.approx(1080.0)
    assert not room.is_known


def test_a_spacing_at_the_patient_leaves_the_distances_unknown(films: Pair) -> None:
    calibrated = replace(films[0], geometry=replace(films[0].geometry, spacing_origin=Origin.CALIBRATED))
    assert not rooms_of(calibrated)[0].is_known
    assert magnification_sd(calibrated) < magnification_sd(unstated(films)[0])


def test_a_direction_that_is_not_stated_gives_a_room_for_each(films: Pair) -> None:
    rooms = [rooms_of(replace(film, direction=None)) for film in films]
    assert [{room.direction for room in both} for both in rooms] == [set(FrontalView), set(LateralView)]


def test_views_share_the_magnification_that_both_show_and_hardly_what_was_expected() -> None:
    assert common_magnification([1.21, 1.23], 1000.0, 1.2, 0.12) == pytest.approx(1.22, abs=0.001)
    assert common_magnification([1.4], 1000.0, 1.2, 0.12) == pytest.approx(1.4, abs=0.005)
    assert common_magnification([1.4, 1.4], 1000.0, 1.2, 1e-6) == pytest.approx(1.2, abs=0.001)
