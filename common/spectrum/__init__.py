"""Spectra of radiographs and attenuation by energy, from tables that were made once.

``photon_tables`` reads them, ``beam_quality`` calculates with them, ``tissue_lengths`` makes water and bone of HU, and
``making`` is how the tables came about.
"""

from common.spectrum.beam_quality import (
    BONE_G_PER_CM3,
    CT_KEV,
    HEAD_BONE_MM,
    HEAD_WATER_MM,
    WATER_G_PER_CM3,
    Spectrum,
    absorbed_share,
    bone_mu_per_mm,
    effective_energy_kev,
    head_energy_kev,
    photons_by_energy,
    photons_per_mm2,
    signal_by_energy,
    transmission,
)
from common.spectrum.photon_tables import PhotonTables, photon_tables
from common.spectrum.tissue_lengths import BONE_HU, SOFT_HU, water_and_bone

__all__ = [
    "BONE_G_PER_CM3",
    "BONE_HU",
    "CT_KEV",
    "HEAD_BONE_MM",
    "HEAD_WATER_MM",
    "SOFT_HU",
    "WATER_G_PER_CM3",
    "PhotonTables",
    "Spectrum",
    "absorbed_share",
    "bone_mu_per_mm",
    "effective_energy_kev",
    "head_energy_kev",
    "photon_tables",
    "photons_by_energy",
    "photons_per_mm2",
    "signal_by_energy",
    "transmission",
    "water_and_bone",
]
