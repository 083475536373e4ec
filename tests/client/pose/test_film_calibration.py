"""Films become the study's line integrals by one gain and one square term a study, after their scatter is taken off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from client.pose import CalibrationOrigin, film_spectrum, paired_calibration, spectrum_calibration, without_scatter
from client.radiographs import Film
from client.virtual_films import FilmStyle, expose
from common.attenuation import water_mu_per_mm
from common.errors import Refusal
from common.geometry import Geometry
from common.spectrum import CT_KEV, Spectrum, bone_mu_per_mm, head_energy_kev
from tests.client.pose.conftest import head_hu

SPECTRUM = Spectrum(kvp=75)
KEV = head_energy_kev(SPECTRUM)
GEOMETRY = Geometry(detector_shape=(120, 108), pixel_mm=3.0, source_patient_mm=950.0, source_detector_mm=1150.0)
CLEAN = FilmStyle(SPECTRUM, kerma_ugy=0, scatter_to_primary=0, electronic_photons=0)
RATIO = 0.3

Image = NDArray[np.float32]


def filmed(like: Film, view: int, ratio: float) -> tuple[Film, Image]:
    """A film with so much scatter, as if it had been read, and its DRR at the study's energy."""
    exposed = expose(head_hu(4), 1.8, GEOMETRY, GEOMETRY.beams[view], replace(CLEAN, scatter_to_primary=ratio), seed=1)
    integrals = -np.log(exposed.exposure)
    everywhere = np.ones(integrals.shape, dtype=bool)
    film = replace(like, integrals=integrals.astype(np.float32), exposed=everywhere, pixel_mm=3.0, kvp=75.0)
    water, bone = exposed.paths_mm
    drr = (water + bone * bone_mu_per_mm(CT_KEV) / water_mu_per_mm(CT_KEV)) * water_mu_per_mm(KEV)
    return film, drr.astype(np.float32)


def error(found: Image, drr: Image) -> float:
    return float(np.sqrt(((found - drr) ** 2)[drr > 0.3].mean()))


@pytest.fixture(scope="module")
def scattered(films: tuple[Film, Film]) -> list[tuple[Film, Image]]:
    return [filmed(film, view, RATIO) for view, film in enumerate(films)]


@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("scatter", [RATIO, 1.0], ids=["grid", "no grid"])
def test_scatter_is_taken_off_and_leaves_the_primary(films: tuple[Film, Film], scatter: float, view: int) -> None:
    clean, full = (filmed(films[view], view, ratio)[0] for ratio in (0.0, scatter))
    found = without_scatter(full.integrals, full.exposed, 3.0, scatter)
    head = clean.integrals > 0.5
    before, after = (np.abs(image - clean.integrals)[head].mean() for image in (full.integrals, found))
    assert before > 0.2
    assert after < 0.05
    assert without_scatter(full.integrals, full.exposed, 3.0, 0.0) is full.integrals


def test_more_scatter_than_light_leaves_a_film_finite(films: tuple[Film, Film]) -> None:
    film, _ = filmed(films[0], 0, 1.0)
    assert np.isfinite(without_scatter(film.integrals, film.exposed, 3.0, 5.0)).all()
    empty = np.zeros((40, 40), np.float32)
    assert np.array_equal(without_scatter(empty, np.ones((40, 40), dtype=bool), 3.0, 0.5), empty)


def test_the_spectrums_calibration_brings_films_near_to_their_drrs(scattered: list[tuple[Film, Image]]) -> None:
    calibration = spectrum_calibration([film for film, _ in scattered], KEV, RATIO)
    assert calibration.origin is CalibrationOrigin.SPECTRUM
    # Bone stops a film's soft photons: the thickest rays are too bright for one energy, so the square term is positive.
    assert 0.8 < calibration.gain < 1.0 < calibration.gain + 5 * calibration.square
    for film, drr in scattered:
        assert error(calibration.applied(film), drr) < 0.45 * error(film.integrals, drr)


def test_one_study_has_one_calibration_whatever_a_film_shows(scattered: list[tuple[Film, Image]]) -> None:
    film = scattered[0][0]
    brighter = replace(film, integrals=0.5 * film.integrals)
    assert spectrum_calibration([film], KEV) == spectrum_calibration([brighter], KEV)
    assert spectrum_calibration([film], KEV).gain != spectrum_calibration([replace(film, kvp=100.0)], KEV).gain


def test_a_paired_ct_finds_scatter_and_coefficients_at_least_as_well(scattered: list[tuple[Film, Image]]) -> None:
    films, drrs = zip(*scattered, strict=True)
    calibration = paired_calibration(films, drrs)
    assert calibration.origin is CalibrationOrigin.PAIRED_CT
    assert calibration.scatter_to_primary == pytest.approx(RATIO, abs=0.11)
    by_spectrum = spectrum_calibration(films, KEV, RATIO)
    mean = [np.mean([error(one.applied(f), d) for f, d in scattered]) for one in (calibration, by_spectrum)]
    assert mean[0] <= mean[1] + 0.005
    # The fit's own root mean square error is that of the calibrated films.
    inside = [ndimage.binary_erosion(f.exposed, iterations=2) & (d > 0.3) for f, d in scattered]
    squares = np.concatenate(
        [((calibration.applied(f) - d) ** 2)[mask] for (f, d), mask in zip(scattered, inside, strict=True)]
    )
    assert calibration.rmse == pytest.approx(float(np.sqrt(squares.mean())), rel=1e-3)


def test_a_wrong_scale_of_a_logarithm_shows_in_the_paired_gain(scattered: list[tuple[Film, Image]]) -> None:
    films, drrs = zip(*scattered, strict=True)
    five_decades_read_as_four = [replace(film, integrals=0.8 * film.integrals) for film in films]
    assert paired_calibration(five_decades_read_as_four, drrs).gain > 1.1 * paired_calibration(films, drrs).gain


def test_voltages_that_no_table_has_are_taken_for_the_nearest(films: tuple[Film, Film]) -> None:
    assert [film_spectrum(kvp).kvp for kvp in (None, 40.0, 90.0, 140.0)] == [75.0, 60.0, 90.0, 125.0]
    assert spectrum_calibration([replace(films[0], kvp=None)], KEV) == spectrum_calibration(
        [replace(films[0], kvp=75.0)], KEV
    )


def test_what_cannot_be_calibrated_is_refused(films: tuple[Film, Film]) -> None:
    with pytest.raises(Refusal, match="no film"):
        spectrum_calibration([], KEV)
    with pytest.raises(Refusal, match="belong together"):
        paired_calibration([films[0]], [np.zeros((3, 3), np.float32)])
    with pytest.raises(Refusal, match="no head"):
        paired_calibration([films[0]], [np.zeros_like(films[0].integrals)])
