"""What the writer of virtual films stores, the reader of real ones finds again: values, sides, view and geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from client.archive import Pseudonyms
from client.dicom import Reader
from client.radiographs import Film, Origin, read_films
from client.virtual_films import Film as ExposedFilm
from client.virtual_films import FilmFormat, FilmStyle, expose, write_film
from client.virtual_films.film_format import HEADROOM
from common.geometry import FrontalView, Geometry, LateralView
from common.spectrum import Spectrum

GEOMETRY = Geometry(
    detector_shape=(120, 104),
    pixel_mm=3.0,
    source_patient_mm=900.0,
    source_detector_mm=1150.0,
    frontal=FrontalView.AP,
    lateral=LateralView.RIGHT,
)
CLEAN = FilmStyle(Spectrum(kvp=75), kerma_ugy=0, scatter_to_primary=0, electronic_photons=0)
OTHER_WAY = GEOMETRY.model_copy(update={"frontal": FrontalView.PA, "lateral": LateralView.LEFT})
FORMATS = [
    *(FilmFormat(photometric=seen, bits=bits) for seen in ("MONOCHROME1", "MONOCHROME2") for bits in (10, 12, 14, 16)),
    FilmFormat(relationship="LOG", bits=10),
    FilmFormat(relationship="LOG", bits=16, photometric="MONOCHROME1"),
    FilmFormat(presentation=True, bits=12),
    FilmFormat(presentation=True, relationship="LOG", photometric="MONOCHROME1"),
    FilmFormat("CR", relationship="LOG", bits=12),
    FilmFormat("CR", relationship="LOG", bits=10, photometric="MONOCHROME1"),
    FilmFormat("CR", relationship="LOG", bits=12, decades=5.0, in_densities=True),
    FilmFormat("CR", relationship="LIN", bits=16),
    *(FilmFormat("XA", bits=bits) for bits in (10, 12, 16)),
    FilmFormat("XA", bits=12, relationship="LOG"),
    *(FilmFormat(quarter_turns=turns, flipped=flipped) for turns in range(4) for flipped in (False, True)),
    FilmFormat("CR", relationship="LOG", quarter_turns=1, flipped=True),
    FilmFormat("XA", bits=12, quarter_turns=3, flipped=True),
]

Store = Callable[[ExposedFilm, FilmFormat], Film]


@pytest.fixture(scope="module", params=[0, 1], ids=["frontal", "lateral"])
def film(request: pytest.FixtureRequest, head_hu: NDArray[np.float32]) -> ExposedFilm:
    return expose(head_hu, 1.8, GEOMETRY, GEOMETRY.beams[request.param], CLEAN, seed=1)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as opened:
        yield opened


@pytest.fixture
def stored(reader: Reader, tmp_path: Path) -> Store:
    def written_and_read(exposed: ExposedFilm, stored_as: FilmFormat) -> Film:
        path = write_film(tmp_path, exposed, stored_as, seed=1, number=1)
        (found,) = read_films([path], Pseudonyms(b"secret" * 8), reader=reader)
        assert isinstance(found, Film), found
        return found

    return written_and_read


def named(stored_as: FilmFormat) -> str:
    turned = f"-{stored_as.quarter_turns}{'f' if stored_as.flipped else ''}"
    unit = "-OD" if stored_as.in_densities else ""
    shown = "presented-" if stored_as.presentation else ""
    value = f"{stored_as.relationship}{unit}-{stored_as.photometric[-1]}-{stored_as.bits}"
    return f"{stored_as.modality}-{shown}{value}{turned}"


@pytest.mark.parametrize("stored_as", FORMATS, ids=named)
def test_line_integrals_come_back_to_the_quantisation_whatever_the_format(
    film: ExposedFilm, stored_as: FilmFormat, stored: Store
) -> None:
    found = stored(film, stored_as)
    assert found.exposed.all()
    if stored_as.relationship == "LOG":
        step = stored_as.decades * np.log(10) / stored_as.highest
        assert np.abs(found.integrals + np.log(film.exposure)).max() < 1.1 * step
    else:
        # Linear codes are equal steps of exposure; below half a code a film knows nothing.
        step = HEADROOM / stored_as.highest
        assert np.abs(np.exp(-found.integrals) - film.exposure).max() < 1.1 * step
    mirrored = np.abs(found.integrals[:, ::-1] + np.log(film.exposure)).mean()
    assert mirrored > 10 * np.abs(found.integrals + np.log(film.exposure)).mean()


@pytest.mark.parametrize("stored_as", [FilmFormat(), FilmFormat("CR", relationship="LOG"), FilmFormat("XA", bits=12)])
def test_view_beam_and_distances_come_back_as_stated(film: ExposedFilm, stored_as: FilmFormat, stored: Store) -> None:
    found = stored(film, stored_as)
    assert found.is_lateral == (film.beam.name == "lateral")
    assert found.direction is (LateralView.RIGHT if found.is_lateral else FrontalView.AP)
    geometry = found.geometry
    assert (found.pixel_mm, geometry.spacing_mm, geometry.spacing_origin) == (3.0, (3.0, 3.0), Origin.STATED)
    assert (geometry.source_detector_mm, geometry.source_patient_mm) == (1150.0, 900.0)
    assert geometry.magnification == pytest.approx(1150 / 900)
    assert geometry.magnification_origin is Origin.STATED
    assert found.kvp == 75


@pytest.mark.parametrize("stored_as", [FilmFormat(), FilmFormat("XA", bits=12)])
def test_the_other_direction_of_the_beam_is_told_too(
    head_hu: NDArray[np.float32], stored_as: FilmFormat, stored: Store
) -> None:
    for beam, direction in zip(OTHER_WAY.beams, (FrontalView.PA, LateralView.LEFT), strict=True):
        assert stored(expose(head_hu, 1.8, OTHER_WAY, beam, CLEAN, seed=1), stored_as).direction is direction


def test_a_logarithm_without_unit_is_taken_for_four_decades_and_noted(film: ExposedFilm, stored: Store) -> None:
    stated, unstated = (
        stored(film, FilmFormat("CR", relationship="LOG", bits=16, decades=5.0, in_densities=unit))
        for unit in (True, False)
    )
    assert "decades_assumed" in unstated.notes
    assert "decades_assumed" not in stated.notes
    assert unstated.integrals == pytest.approx(stated.integrals * 4 / 5, abs=0.002)


def test_collimation_and_a_lead_letter_are_masked_and_the_rest_comes_back(
    head_hu: NDArray[np.float32], stored: Store
) -> None:
    style = replace(CLEAN, field_mm=(320.0, 280.0), marker="L")
    exposed = expose(head_hu, 1.8, GEOMETRY, GEOMETRY.beams[0], style, seed=1)
    found = stored(exposed, FilmFormat(bits=16))
    assert not (found.exposed & ~exposed.open_field).any()
    assert found.exposed.sum() > 0.9 * exposed.open_field.sum()
    assert np.abs(np.exp(-found.integrals) - exposed.exposure)[found.exposed].max() < 1.1 * HEADROOM / 65535
