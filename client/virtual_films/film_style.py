"""What decides how a film looks, apart from the head and where it lies: the tube, the grid, the detector, lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from common.errors import ExitCode, Refusal
from common.spectrum import Spectrum

MOST_SCATTER = 5.0


@final
@dataclass(frozen=True)
class AntiScatterGrid:
    """A grid's two transmissions; a grid of ratio 10 lets through about these.

    Attributes:
        primary_share: of primary photons, above 0 to 1.
        scatter_share: of scattered ones, 0 to 1.
    """

    primary_share: float = 0.7
    scatter_share: float = 0.15


@final
@dataclass(frozen=True)
class FilmStyle:
    """One exposure.

    Attributes:
        spectrum: the beam's.
        kerma_ugy: air kerma at the detector's open field, in µGy; 0 switches quantum noise off.
        scatter_to_primary: mean over the head of the ratio before a grid, 0 to 5; a grid leaves a fifth of it.
        scatter_sigma_mm: SD of the Gaussian over which scatter spreads on the detector.
        grid: the anti-scatter grid, None without.
        focal_spot_mm: edge of the focal spot; it blurs as the geometry magnifies it.
        detector_sigma_mm: SD of the detector's spread of light.
        electronic_photons: SD of the readout's noise, in absorbed photons of the open field a pixel.
        field_mm: (rows, columns) of the collimated field at the detector about its middle; None leaves all open.
        leak: share of the beam that passes collimator and lead.
        marker: lead letter at the field's edge that says which side of the image it is on, None without.
    """

    spectrum: Spectrum
    kerma_ugy: float = 2.5
    scatter_to_primary: float = 1.0
    scatter_sigma_mm: float = 45.0
    grid: AntiScatterGrid | None = None
    focal_spot_mm: float = 0.6
    detector_sigma_mm: float = 0.15
    electronic_photons: float = 3.0
    field_mm: tuple[float, float] | None = None
    leak: float = 0.002
    marker: Literal["L", "R"] | None = None

    def __post_init__(self) -> None:
        """Holds the numbers to what they can be; raises a refusal that names the first which is not."""
        field = min(self.field_mm) if self.field_mm else 1.0
        for name, value, low, high in (
            ("kerma_ugy", self.kerma_ugy, 0.0, 1000.0),
            ("scatter_to_primary", self.scatter_to_primary, 0.0, MOST_SCATTER),
            ("scatter_sigma_mm", self.scatter_sigma_mm, 1.0, 500.0),
            ("focal_spot_mm", self.focal_spot_mm, 0.0, 5.0),
            ("detector_sigma_mm", self.detector_sigma_mm, 0.0, 5.0),
            ("electronic_photons", self.electronic_photons, 0.0, 1e6),
            ("field_mm", field, 1e-3, 1e4),
            ("leak", self.leak, 0.0, 0.1),
        ):
            if not low <= value <= high:
                mend = f"choose {low:g} to {high:g}"
                raise Refusal(ExitCode.SETTINGS_INVALID, f"{name} is out of range", where=f"{value:g}", mend=mend)

    @property
    def scatter_at_detector(self) -> float:
        """Mean scatter-to-primary ratio behind the head and the grid."""
        through = 1.0 if self.grid is None else self.grid.scatter_share / self.grid.primary_share
        return self.scatter_to_primary * through
