"""The spectrum of a radiograph: what passes a head, what the detector keeps, and which energy stands for it."""

from __future__ import annotations

import math
from typing import Annotated, Final, final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from common.attenuation import energy_of_water_kev, water_mu_per_mm
from common.spectrum.photon_tables import HIGHEST_KVP, LOWEST_KVP, FloatArray, photon_tables

WATER_G_PER_CM3, BONE_G_PER_CM3 = 1.0, 1.92
ALUMINIUM_G_PER_CM3, COPPER_G_PER_CM3 = 2.699, 8.96
# Caesium iodide of a flat detector: 0.4 mm without the gaps between its needles.
CAESIUM_IODIDE_G_PER_CM2 = 0.18
# The energy that stands for the 120 kV of a CT of the head, at which its HU are taken to be linear in attenuation.
CT_KEV: Final = 70.0
# What a ray through the average head meets, the mean over both views' pixels behind it, in mm.
HEAD_WATER_MM, HEAD_BONE_MM = 120.0, 14.0
# Dry air, mass energy absorption in cm²/g by keV: Hubbell and Seltzer, NIST Standard Reference Database 126, table 4.
_AIR_KEV = (10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
_AIR_CM2_PER_G = (4.742, 1.334, 0.5389, 0.1537, 0.06833, 0.04098, 0.03041, 0.02407, 0.02325, 0.02496)
_MICROGRAY_PER_KEV_PER_G = 1.602176634e-16 * 1e3 * 1e6


@final
class Spectrum(BaseModel):
    """A tungsten tube's voltage and what lies before the patient.

    Attributes:
        kvp: peak tube voltage in kV, DICOM KVP (0018,0060).
        aluminium_mm: all aluminium, the tube's own filtration included.
        copper_mm: copper added to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kvp: Annotated[float, Field(ge=LOWEST_KVP, le=HIGHEST_KVP, allow_inf_nan=False)]
    aluminium_mm: Annotated[float, Field(ge=1, le=40, allow_inf_nan=False)] = 2.5
    copper_mm: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0


def photons_by_energy(spectrum: Spectrum) -> FloatArray:
    """(bins,): the share of each bin of energy in the photons that reach the patient; sums to 1."""
    tables = photon_tables()
    row = min(int(spectrum.kvp) - LOWEST_KVP, len(tables.photons) - 2)
    share = spectrum.kvp - LOWEST_KVP - row
    tube = (1 - share) * tables.photons[row] + share * tables.photons[row + 1]
    aluminium = tables.aluminium * ALUMINIUM_G_PER_CM3 * spectrum.aluminium_mm / 10
    copper = tables.copper * COPPER_G_PER_CM3 * spectrum.copper_mm / 10
    filtered = tube * np.exp(-aluminium - copper)
    return np.asarray(filtered / filtered.sum(), dtype=np.float64)


def absorbed_share() -> FloatArray:
    """(bins,): the share of photons that the detector's caesium iodide stops; fluorescence that leaves it counts."""
    return np.asarray(-np.expm1(-photon_tables().caesium_iodide * CAESIUM_IODIDE_G_PER_CM2), dtype=np.float64)


def signal_by_energy(spectrum: Spectrum) -> FloatArray:
    """(bins,): the share of each bin in an open field's light, a photon giving as much as its energy; sums to 1."""
    light = photons_by_energy(spectrum) * absorbed_share() * photon_tables().energy_kev
    return np.asarray(light / light.sum(), dtype=np.float64)


def transmission(spectrum: Spectrum, water_mm: npt.ArrayLike, bone_mm: npt.ArrayLike = 0.0) -> FloatArray:
    """The detector's signal behind so much water and cortical bone over that of the open field, without scatter.

    Args:
        spectrum: of the beam.
        water_mm: of any shape.
        bone_mm: of a shape that fits.

    Returns:
        Of their common shape, 0 to 1.
    """
    water, bone = np.broadcast_arrays(np.asarray(water_mm, np.float64), np.asarray(bone_mm, np.float64))
    tables, passed = photon_tables(), np.zeros(water.shape)
    for share, of_water, of_bone in zip(signal_by_energy(spectrum), tables.water, tables.bone, strict=True):
        if share > 0:
            exponent = water * (of_water * WATER_G_PER_CM3 / 10) + bone * (of_bone * BONE_G_PER_CM3 / 10)
            passed += share * np.exp(-exponent)
    return passed


def bone_mu_per_mm(energy_kev: float) -> float:
    """Linear attenuation of cortical bone at an energy from 10.5 to 124.5 keV, between the bins in logarithms."""
    tables = photon_tables()
    logarithm = np.interp(np.log(energy_kev), np.log(tables.energy_kev), np.log(tables.bone))
    return float(np.exp(logarithm)) * BONE_G_PER_CM3 / 10


def effective_energy_kev(spectrum: Spectrum, water_mm: float, bone_mm: float = 0.0) -> float:
    """The energy at which a DRR's line integral is what the film of this spectrum shows behind so much of both.

    A DRR takes bone for so much water as attenuates like it at :data:`CT_KEV`, where a film's bone attenuates more: the
    energy is therefore lower than behind water alone.

    Args:
        spectrum: of the film.
        water_mm: length of soft tissue, above 0.
        bone_mm: length of cortical bone.
    """
    as_water_mm = water_mm + bone_mm * bone_mu_per_mm(CT_KEV) / water_mu_per_mm(CT_KEV)
    return energy_of_water_kev(-math.log(float(transmission(spectrum, water_mm, bone_mm))) / as_water_mm)


def head_energy_kev(spectrum: Spectrum) -> float:
    """The effective energy behind an average head."""
    return effective_energy_kev(spectrum, HEAD_WATER_MM, HEAD_BONE_MM)


def photons_per_mm2(spectrum: Spectrum, kerma_ugy: float) -> float:
    """Photons a mm² that give so much air kerma, in µGy, where no patient is."""
    energies = photon_tables().energy_kev
    air = np.exp(np.interp(np.log(energies), np.log(_AIR_KEV), np.log(_AIR_CM2_PER_G)))
    # A photon a cm² deposits its energy times the coefficient in a gram; a mm² is a hundredth of a cm².
    per_photon = float((photons_by_energy(spectrum) * energies * air).sum()) * _MICROGRAY_PER_KEV_PER_G * 100
    return kerma_ugy / per_photon
