from __future__ import annotations

import hashlib

import numpy as np
import pytest

from common.spectrum.photon_tables import FILE, HIGHEST_KVP, LOWEST_KVP, SHA256, photon_tables

# Hubbell and Seltzer, NIST Standard Reference Database 126: cm²/g at 20, 40, 60, 80 and 100 keV.
NIST_KEV = (20.0, 40.0, 60.0, 80.0, 100.0)
NIST = {
    "water": (0.8096, 0.2683, 0.2059, 0.1837, 0.1707),
    "bone": (4.001, 0.6655, 0.3148, 0.2229, 0.1855),
    "aluminium": (3.441, 0.5685, 0.2778, 0.2018, 0.1704),
    "copper": (33.79, 4.862, 1.593, 0.7630, 0.4584),
}


@pytest.mark.parametrize("name", NIST)
def test_attenuation_is_what_nist_publishes(name: str) -> None:
    tables = photon_tables()
    logarithms = np.interp(np.log(NIST_KEV), np.log(tables.energy_kev), np.log(getattr(tables, name)))
    assert np.exp(logarithms) == pytest.approx(NIST[name], rel=0.003)


def test_the_file_is_the_one_that_the_code_was_written_for() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == SHA256


def test_a_tube_gives_no_photon_beyond_its_voltage_and_tungsten_its_lines() -> None:
    tables = photon_tables()
    assert tables.photons.shape == (HIGHEST_KVP - LOWEST_KVP + 1, len(tables.energy_kev))
    for kvp, photons in zip(range(LOWEST_KVP, HIGHEST_KVP + 1), tables.photons, strict=True):
        assert (photons[tables.energy_kev > kvp] == 0).all()
        assert (photons[tables.energy_kev < kvp - 1] > 0).all()
    # K alpha of tungsten lies at 58.0 and 59.3 keV, and needs more than 69.5 kV.
    line, beside = tables.energy_kev == 59.5, tables.energy_kev == 62.5
    assert tables.photons[-1][line] > 2 * tables.photons[-1][beside]
    assert tables.photons[0][line] < tables.photons[0][tables.energy_kev == 55.5]
