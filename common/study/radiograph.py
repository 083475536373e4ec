"""The section of a study that says which radiographs it has, and how DRRs are made."""

from __future__ import annotations

from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from common.attenuation import water_mu_per_mm
from common.spectrum import Spectrum, head_energy_kev
from common.study.section import NonNegative, Positive, Section, later

_CT_OF_A_HEAD_KEV = 70.0


@final
class RadiographSettings(Section):
    """Which radiographs a case has, and how a DRR is made from line integrals of attenuation.

    Attributes:
        source: what a case holds: DRRs of its CT alone; ``film``, its patient's own films as well, and no case
            without them; or ``both``, films where there are any. What training takes of them says ``film.own``.
        resolution: ``grid`` projects the canonical volume in fine voxels; ``native`` projects the slices as scanned,
            masked to the body and cut to the study's box.
        effective_energy_kev: the photon energy at which a DRR's line integrals are those of the radiograph's whole
            spectrum, 20 to 150. Near 70 is a head's CT at 120 kV; behind a head a film of 75 kVp is near 40, and its
            line integrals are larger by 1 in 3 to 4 than those of a DRR at 70.
        spectrum: what the film's tube and filters are, from which the energy then follows
            (:func:`common.spectrum.head_energy_kev`); ``effective_energy_kev`` is then left out.
        photons: mean unattenuated photons per pixel for Poisson noise; 0 switches noise off.
        integral_scale: line integrals are divided by this fixed constant before the network sees them.
    """

    source: Literal["drr", "film", "both"] = later("drr")
    resolution: Literal["grid", "native"] = "grid"
    effective_energy_kev: Annotated[float, Field(ge=20, le=150, allow_inf_nan=False)] = _CT_OF_A_HEAD_KEV
    spectrum: Spectrum | None = later(None)
    photons: NonNegative = 50_000.0
    integral_scale: Positive = 5.0

    @model_validator(mode="after")
    def _one_energy(self) -> Self:
        if self.spectrum is not None and self.effective_energy_kev != _CT_OF_A_HEAD_KEV:
            raise ValueError("effective_energy_kev follows from spectrum: state one of them")
        return self

    @property
    def energy_kev(self) -> float:
        """The energy of the DRRs: the spectrum's behind a head, or the one that is stated."""
        return self.effective_energy_kev if self.spectrum is None else head_energy_kev(self.spectrum)

    @property
    def water_mu_per_mm(self) -> float:
        """Linear attenuation of water at the DRRs' energy, by :func:`common.attenuation.water_mu_per_mm`."""
        return water_mu_per_mm(self.energy_kev)
