"""Hounsfield units and linear attenuation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.errors import ExitCode, Refusal

if TYPE_CHECKING:
    from torch import Tensor

AIR_HU = -1000.0

# Water, mass attenuation in cm²/g by photon energy in keV, without coherent scattering removed: Hubbell and Seltzer,
# NIST Standard Reference Database 126, table 4.
_WATER_KEV = (20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
_WATER_CM2_PER_G = (0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505)
_WATER_G_PER_CM3 = 1.0


def water_mu_per_mm(energy_kev: float) -> float:
    """Linear attenuation of water at a photon energy, interpolated in the logarithms of the NIST table.

    Args:
        energy_kev: 20 to 150; near 70 in a head's CT, near 40 in its radiograph at 75 kVp.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` outside the table.
    """
    if not _WATER_KEV[0] <= energy_kev <= _WATER_KEV[-1]:
        raise Refusal(
            ExitCode.GEOMETRY_INVALID,
            f"no attenuation of water at {energy_kev:g} keV",
            where="projection",
            mend=f"choose {_WATER_KEV[0]:g} to {_WATER_KEV[-1]:g} keV",
        )
    logarithm = np.interp(np.log(energy_kev), np.log(_WATER_KEV), np.log(_WATER_CM2_PER_G))
    return float(np.exp(logarithm)) * _WATER_G_PER_CM3 / 10.0


def energy_of_water_kev(mu_per_mm: float) -> float:
    """The energy at which water attenuates so, the inverse of :func:`water_mu_per_mm`; 20 and 150 beyond the table."""
    logarithms = np.log(_WATER_CM2_PER_G)[::-1], np.log(_WATER_KEV)[::-1]
    return float(np.exp(np.interp(np.log(mu_per_mm * 10.0 / _WATER_G_PER_CM3), *logarithms)))


def hu_to_mu(volume_hu: Tensor, water_mu_per_mm: float) -> Tensor:
    """Linear attenuation per mm: linear on water, zero for air and below (padding of -1024 or -3024 is air).

    Metal stays linear on water up to whatever the scanner stored; NaN stays NaN.
    """
    return (volume_hu.clamp(min=AIR_HU) - AIR_HU) * (water_mu_per_mm / -AIR_HU)


def mu_to_hu(mu_per_mm: Tensor, water_mu_per_mm: float) -> Tensor:
    """Inverse of :func:`hu_to_mu` from air upwards."""
    return mu_per_mm * (-AIR_HU / water_mu_per_mm) + AIR_HU
