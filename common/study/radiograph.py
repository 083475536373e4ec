"""The section of a study that says how its radiographs are made."""

from __future__ import annotations

from typing import Annotated, Literal, final

from pydantic import Field

from common.attenuation import water_mu_per_mm
from common.study.section import NonNegative, Positive, Section


@final
class RadiographSettings(Section):
    """How a DRR is made from line integrals of attenuation.

    Attributes:
        resolution: ``grid`` projects the canonical volume in fine voxels; ``native`` projects the slices as scanned,
            masked to the body and cut to the study's box.
        effective_energy_kev: the photon energy at which water attenuates as it does in the radiograph's whole spectrum,
            20 to 150; near 70 for a head.
        photons: mean unattenuated photons per pixel for Poisson noise; 0 switches noise off.
        integral_scale: line integrals are divided by this fixed constant before the network sees them.
    """

    resolution: Literal["grid", "native"] = "grid"
    effective_energy_kev: Annotated[float, Field(ge=20, le=150, allow_inf_nan=False)] = 70.0
    photons: NonNegative = 50_000.0
    integral_scale: Positive = 5.0

    @property
    def water_mu_per_mm(self) -> float:
        """Linear attenuation of water at the effective energy, by :func:`common.attenuation.water_mu_per_mm`."""
        return water_mu_per_mm(self.effective_energy_kev)
