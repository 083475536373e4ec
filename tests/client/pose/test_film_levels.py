"""A film in coarse pixels stays where it was, as blurred as a coarse head, away from the field's edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from client.pose.film_levels import MARGIN_PIXELS, detector_pixel_mm, film_level
from client.radiographs import Film, Origin


def middle_mm(image, pixel_mm, offset_mm):
    """(superior, along the columns) of an image's centre of mass from the film's middle."""
    rows, columns = image.shape
    down = (image.sum(axis=1) * (np.arange(rows) - (rows - 1) / 2)).sum() / image.sum() * pixel_mm
    right = (image.sum(axis=0) * (np.arange(columns) - (columns - 1) / 2)).sum() / image.sum() * pixel_mm
    return np.array([offset_mm[0] - down, offset_mm[1] + right])


@pytest.mark.parametrize("shape", [(200, 180), (203, 187), (161, 170)])
def test_coarse_pixels_lie_where_the_fine_ones_lay(films: tuple[Film, Film], shape: tuple[int, int]) -> None:
    spot = np.zeros(shape, np.float32)
    spot[73, 91] = 1.0
    spot = ndimage.gaussian_filter(spot, 6.0)
    film = replace(films[0], integrals=spot, exposed=np.ones(shape, dtype=bool), pixel_mm=1.0)
    for voxel_mm in (3.6, 7.2):
        level = film_level(film, voxel_mm, 1.2)
        assert level.pixel_mm > 2
        found = middle_mm(level.integrals, level.pixel_mm, level.offset_mm)
        assert found == pytest.approx(middle_mm(spot, 1.0, (0.0, 0.0)), abs=0.05)


def test_what_counts_keeps_a_margin_from_every_edge(films: tuple[Film, Film]) -> None:
    level = film_level(films[0], 3.6, 1.2)
    assert level.counted.any()
    block = round(level.pixel_mm / films[0].pixel_mm)
    rows, columns = level.counted.shape
    covered = np.repeat(np.repeat(level.counted, block, axis=0), block, axis=1)
    exposed = films[0].exposed[: rows * block, : columns * block]
    away = ndimage.distance_transform_edt(np.pad(exposed, 1))[1:-1, 1:-1][covered].min()
    # Steps go along rows and columns, so across a corner it is nearer by the root of two.
    assert away >= MARGIN_PIXELS * (block + 1) / 2**0.5


def test_what_lies_beyond_the_field_changes_nothing_that_counts(films: tuple[Film, Film]) -> None:
    film = films[0]
    assert not film.exposed.all()
    spoilt = replace(film, integrals=np.where(film.exposed, film.integrals, 9.0).astype(np.float32))
    one, other = film_level(film, 3.6, 1.2), film_level(spoilt, 3.6, 1.2)
    assert np.array_equal(one.integrals, other.integrals)


def test_pixels_calibrated_at_the_patient_are_larger_at_the_detector(films: tuple[Film, Film]) -> None:
    geometry = replace(films[0].geometry, spacing_origin=Origin.CALIBRATED)
    calibrated = replace(films[0], geometry=geometry)
    assert detector_pixel_mm(films[0]) == 2.0
    assert detector_pixel_mm(calibrated) == pytest.approx(2.0 * 1150 / 950)
