from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.optimize import brentq

from client.phantom import template_head
from common.attenuation import water_mu_per_mm
from common.geometry import Grid
from common.spectrum import (
    Spectrum,
    bone_mu_per_mm,
    effective_energy_kev,
    head_energy_kev,
    photon_tables,
    photons_by_energy,
    photons_per_mm2,
    signal_by_energy,
    transmission,
    water_and_bone,
)
from common.spectrum.beam_quality import ALUMINIUM_G_PER_CM3, HEAD_BONE_MM, HEAD_WATER_MM

BEDSIDE = Spectrum(kvp=75)
# IEC 62220-1: 70 kV behind 21 mm of added aluminium, whose half-value layer is 6.8 mm.
RQA5 = Spectrum(kvp=70, aluminium_mm=23.5)


def mean_kev(spectrum: Spectrum) -> float:
    return float((photons_by_energy(spectrum) * photon_tables().energy_kev).sum())


def kerma_behind(spectrum: Spectrum, aluminium_mm: float) -> float:
    """Air kerma behind more aluminium, over that without."""
    behind = spectrum.model_copy(update={"aluminium_mm": spectrum.aluminium_mm + aluminium_mm})
    passed = np.exp(-photon_tables().aluminium * ALUMINIUM_G_PER_CM3 * aluminium_mm / 10)
    photons = float((photons_by_energy(spectrum) * passed).sum())
    return photons * photons_per_mm2(spectrum, 1.0) / photons_per_mm2(behind, 1.0)


def half_value_layer_mm(spectrum: Spectrum) -> float:
    return float(brentq(lambda mm: kerma_behind(spectrum, mm) - 0.5, 0.1, 15.0))


def test_the_half_value_layer_is_what_spekpy_gives_and_iec_asks() -> None:
    assert half_value_layer_mm(BEDSIDE) == pytest.approx(2.56, abs=0.05)
    assert half_value_layer_mm(RQA5) == pytest.approx(6.8, abs=0.25)


def test_a_microgray_is_as_many_photons_as_iec_62220_counts() -> None:
    assert photons_per_mm2(RQA5, 1.0) == pytest.approx(30_174, rel=0.05)
    assert photons_per_mm2(RQA5, 5.0) == pytest.approx(5 * photons_per_mm2(RQA5, 1.0))


def test_more_voltage_and_more_filter_harden_the_beam() -> None:
    assert mean_kev(BEDSIDE) == pytest.approx(41.2, abs=0.1)
    assert mean_kev(Spectrum(kvp=100)) == pytest.approx(49.1, abs=0.2)
    assert mean_kev(Spectrum(kvp=75.5)) == pytest.approx((mean_kev(BEDSIDE) + mean_kev(Spectrum(kvp=76))) / 2, abs=0.05)
    assert mean_kev(Spectrum(kvp=75, copper_mm=0.1)) > mean_kev(Spectrum(kvp=75, aluminium_mm=4)) > mean_kev(BEDSIDE)
    assert photons_by_energy(Spectrum(kvp=125)).sum() == pytest.approx(1)


def test_transmission_is_beer_and_lamberts_summed_over_the_spectrum() -> None:
    passed = transmission(BEDSIDE, np.array([[0.0, 20.0], [150.0, 150.0]]), np.array([0.0, 10.0]))
    tables = photon_tables()
    by_hand = signal_by_energy(BEDSIDE) @ np.exp(-2 * tables.water - 1.0 * 1.92 * tables.bone)
    assert passed.shape == (2, 2)
    assert passed[0, 0] == pytest.approx(1)
    assert passed[0, 1] == pytest.approx(by_hand)
    assert passed[1, 1] < passed[1, 0] < passed[0, 0]


def test_thicker_water_is_met_at_a_higher_energy() -> None:
    energies = [effective_energy_kev(BEDSIDE, water_mm) for water_mm in (1.0, 50.0, 150.0, 250.0)]
    assert energies == sorted(energies)
    line_integral = -np.log(transmission(BEDSIDE, 150.0))
    assert water_mu_per_mm(energies[2]) * 150 == pytest.approx(float(line_integral))


def test_a_head_at_75_kvp_is_met_below_45_kev() -> None:
    assert 38 < head_energy_kev(BEDSIDE) < 45
    assert head_energy_kev(BEDSIDE) < effective_energy_kev(BEDSIDE, HEAD_WATER_MM + 2.5 * HEAD_BONE_MM)
    assert head_energy_kev(Spectrum(kvp=60)) < head_energy_kev(BEDSIDE) < head_energy_kev(Spectrum(kvp=125))


def test_the_average_head_is_as_thick_as_the_constants_say() -> None:
    grid = Grid(shape=(116, 116, 116), voxel_mm=2.0)
    water, bone = (amount * grid.voxel_mm for amount in water_and_bone(template_head(grid).astype(np.float32)))
    rays = [np.concatenate([part.sum(axis=axis).ravel() for axis in (1, 2)]) for part in (water, bone)]
    inside = rays[0] + rays[1] > 50
    assert rays[0][inside].mean() == pytest.approx(HEAD_WATER_MM, rel=0.15)
    assert rays[1][inside].mean() == pytest.approx(HEAD_BONE_MM, rel=0.15)


def test_water_and_bone_attenuate_at_the_cts_energy_as_their_hu_say() -> None:
    hu = np.array([-3024, -1000, -100, 0, 100, 800, 1500, 3071], np.float32)
    water, bone = water_and_bone(hu)
    mu = water * water_mu_per_mm(70.0) + bone * bone_mu_per_mm(70.0)
    assert mu == pytest.approx(np.maximum(hu + 1000, 0) / 1000 * water_mu_per_mm(70.0), rel=1e-5, abs=1e-9)
    assert (bone[:5] == 0).all()
    assert (water[6:] == 0).all()


@pytest.mark.parametrize("field", [{"kvp": 59}, {"kvp": 126}, {"kvp": 75, "aluminium_mm": 0}, {"kvp": 75, "tin_mm": 1}])
def test_a_spectrum_outside_the_tables_is_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Spectrum(**field)
