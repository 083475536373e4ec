from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from client.virtual_films import AntiScatterGrid, FilmStyle, expose
from common.attenuation import water_mu_per_mm
from common.errors import Refusal
from common.geometry import Geometry
from common.spectrum import Spectrum, transmission

GEOMETRY = Geometry(detector_shape=(96, 96), pixel_mm=3.0)
BEAM = GEOMETRY.beams[0]
CLEAN = FilmStyle(
    spectrum=Spectrum(kvp=75), kerma_ugy=0, scatter_to_primary=0, focal_spot_mm=0, detector_sigma_mm=0, leak=0
)
# 120 mm of water with 12 mm of bone across a part of it, the patient's left; air at the rims.
BLOCK = np.full((40, 40, 40), -1000, np.int16)
BLOCK[8:32, 5:35, 8:32] = 0
BLOCK[8:32, 5:8, 20:32] = 1640


def film(style: FilmStyle, seed: int = 1):
    return expose(BLOCK, 4.0, GEOMETRY, BEAM, style, seed=seed)


def head_of(exposed):
    return exposed.paths_mm.sum(axis=0) > 60


def test_without_scatter_noise_and_blur_a_film_is_the_transmission_of_its_spectrum() -> None:
    exposed = film(CLEAN)
    assert exposed.exposure == pytest.approx(transmission(CLEAN.spectrum, *exposed.paths_mm), rel=1e-6)
    assert exposed.exposure.max() == pytest.approx(1)
    assert exposed.open_field.all()
    # The patient's left is at the image's right, and bone stops more.
    columns = exposed.exposure[48]
    assert columns[56] < 0.8 * columns[40]


def test_a_drr_at_70_kev_is_far_below_the_film_of_75_kvp() -> None:
    exposed = film(CLEAN)
    inside = head_of(exposed)
    as_water = exposed.paths_mm[0] + 2.55 * exposed.paths_mm[1]
    drr = as_water * water_mu_per_mm(70.0)
    assert (-np.log(exposed.exposure) - drr)[inside].mean() > 0.2 * drr[inside].mean()


@pytest.mark.parametrize("ratio", [0.2, 1.0])
def test_scatter_has_the_mean_ratio_that_is_asked_and_fills_in_the_dark(ratio: float) -> None:
    clean, scattered = film(CLEAN), film(replace(CLEAN, scatter_to_primary=ratio))
    inside = -np.log(clean.exposure) > 0.5
    added = scattered.exposure - clean.exposure
    assert (added / clean.exposure)[inside].mean() == pytest.approx(ratio, rel=1e-6)
    assert added.min() >= 0
    # It is smooth: where bone makes the primary step, scatter does not.
    assert np.abs(np.diff(added, axis=1)).max() < 0.1 * np.abs(np.diff(clean.exposure, axis=1)).max()


def test_a_grid_stops_more_scatter_than_primary_and_costs_photons() -> None:
    grid = AntiScatterGrid(primary_share=0.7, scatter_share=0.14)
    bare, gridded = replace(CLEAN, scatter_to_primary=1.0), replace(CLEAN, scatter_to_primary=1.0, grid=grid)
    primary = film(CLEAN).exposure
    assert film(gridded).exposure - primary == pytest.approx(0.2 * (film(bare).exposure - primary), abs=1e-12)
    noise = [
        (film(replace(CLEAN, kerma_ugy=1.0, electronic_photons=0, grid=g)).exposure - primary)[:8].std()
        for g in (None, grid)
    ]
    assert noise[1] / noise[0] == pytest.approx(0.7**-0.5, rel=0.1)


def test_noise_falls_with_the_root_of_the_exposure_and_repeats_with_the_seed() -> None:
    faint, strong = (replace(CLEAN, kerma_ugy=kerma, electronic_photons=0) for kerma in (1.0, 16.0))
    clean = film(CLEAN).exposure
    spread = [(film(style).exposure - clean)[:8].std() for style in (faint, strong)]
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.1)
    assert film(faint).exposure.mean() == pytest.approx(clean.mean(), rel=0.001)
    assert np.array_equal(film(faint).exposure, film(faint).exposure)
    assert not np.array_equal(film(faint).exposure, film(faint, seed=2).exposure)


def test_readout_noise_is_added_where_no_photon_arrives() -> None:
    style = replace(CLEAN, kerma_ugy=1.0, electronic_photons=50.0, field_mm=(60.0, 60.0))
    dark = ~film(style).open_field
    quiet = film(replace(style, electronic_photons=0.0)).exposure[dark]
    assert (quiet == 0).all()
    assert film(style).exposure[dark].std() > 0


@pytest.mark.parametrize("blur", [{"focal_spot_mm": 5.0}, {"detector_sigma_mm": 3.0}])
def test_focal_spot_and_detector_blur_edges_and_keep_the_light(blur: dict[str, float]) -> None:
    sharp, soft = film(CLEAN).exposure, film(replace(CLEAN, **blur)).exposure
    assert np.abs(np.diff(soft, axis=1)).max() < np.abs(np.diff(sharp, axis=1)).max()
    assert soft.mean() == pytest.approx(sharp.mean(), rel=1e-3)


def test_the_collimator_leaves_its_field_and_lead_its_letter_on_its_side() -> None:
    plain = film(replace(CLEAN, field_mm=(240.0, 200.0)))
    rows, columns = np.nonzero(plain.open_field)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (80, 66)
    assert plain.exposure[~plain.open_field].max() == 0
    covered = {}
    for letter in ("L", "R"):
        marked = film(replace(CLEAN, field_mm=(240.0, 200.0), marker=letter))
        covered[letter] = np.nonzero(plain.open_field & ~marked.open_field)
        assert marked.exposure[covered[letter]].max() == 0
        assert len(covered[letter][0]) >= 6
        assert covered[letter][0].max() < 20
    assert covered["L"][1].min() > 48 > covered["R"][1].max()


@pytest.mark.parametrize(
    "field", ["kerma_ugy", "scatter_to_primary", "leak", "detector_sigma_mm", "electronic_photons"]
)
def test_numbers_that_no_exposure_has_are_refused(field: str) -> None:
    with pytest.raises(Refusal, match=field):
        replace(CLEAN, **{field: -1.0})
