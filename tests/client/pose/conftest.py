"""A virtual patient's films with all their physics, read from DICOM, and a CT of the same head made otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from client.archive import Pseudonyms
from client.dicom import Reader
from client.phantom import procedural_head
from client.radiographs import Film, read_films
from client.virtual_films import AntiScatterGrid, FilmFormat, FilmStyle, expose, write_film
from common.geometry import Geometry, Grid, Pose
from common.spectrum import Spectrum

GRID = Grid(shape=(128, 128, 128), voxel_mm=1.8)
ROOM = Geometry(detector_shape=(190, 172), pixel_mm=2.0, source_patient_mm=950.0, source_detector_mm=1150.0)
POSES = (
    Pose(pitch_deg=6.0, roll_deg=-4.0, yaw_deg=5.0, translation_mm=(9.0, -11.0, 6.0)),
    Pose(pitch_deg=-5.0, roll_deg=7.0, yaw_deg=-3.0, translation_mm=(-12.0, 8.0, -9.0)),
)
STYLE = FilmStyle(Spectrum(kvp=77), grid=AntiScatterGrid(), field_mm=(320.0, 290.0), marker="L")


@cache
def head_hu(seed: int) -> NDArray[np.float32]:
    """(z, y, x) HU at 1.8 mm, its edges as soft as a scanner's."""
    return np.asarray(ndimage.gaussian_filter(procedural_head(seed, GRID).astype(np.float32), 0.7))


@cache
def scanned_hu(seed: int) -> NDArray[np.float32]:
    """The head as another scan shows it: 2.4 mm, shifted by parts of a voxel on the way, noisy."""
    factor = 2.4 / 1.8
    first = (128 - 1) / 2 - factor * (96 - 1) / 2
    coarse = ndimage.affine_transform(head_hu(seed), np.full(3, factor), first, (96, 96, 96), order=1, cval=-1000)
    return np.asarray(coarse + np.random.default_rng(seed).normal(0, 20, coarse.shape), dtype=np.float32)


@pytest.fixture(scope="session")
def films_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Film, Film]]:
    """Frontal and lateral film of a head, each in its own pose, exposed, written, read."""

    @cache
    def made(seed: int) -> tuple[Film, Film]:
        geometry = ROOM.model_copy(update={"frontal_pose": POSES[0], "lateral_pose": POSES[1]})
        folder = tmp_path_factory.mktemp("films")
        exposed = [expose(head_hu(seed), 1.8, geometry, beam, STYLE, seed=seed) for beam in geometry.beams]
        paths = [write_film(folder, film, FilmFormat(), seed=1, number=seed) for film in exposed]
        with Reader() as reader:
            frontal, lateral = read_films(paths, Pseudonyms(b"secret" * 8), reader=reader)
        assert isinstance(frontal, Film), frontal
        assert isinstance(lateral, Film), lateral
        return frontal, lateral

    return made


@pytest.fixture(scope="session")
def films(films_of: Callable[[int], tuple[Film, Film]]) -> tuple[Film, Film]:
    return films_of(3)


def unstated(films: Sequence[Film]) -> list[Film]:
    """The films as a room would send them that writes no distances."""
    return [
        replace(
            film,
            geometry=replace(
                film.geometry,
                source_detector_mm=None,
                source_patient_mm=None,
                magnification=1.2,
                magnification_origin=type(film.geometry.magnification_origin).ASSUMED,
            ),
        )
        for film in films
    ]
