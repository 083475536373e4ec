"""The canonical grid and the cone-beam geometry of the two radiographs.

Conventions: arrays are (z, y, x); index 0 is the most right/anterior/inferior voxel, so that x, y and z indices grow
with DICOM LPS coordinates (left, posterior, superior). The grid's centre lies on the isocentre.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveMm = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
Cells = Annotated[int, Field(ge=8, le=1024)]


class FrontalView(StrEnum):
    """Direction of the beam through the patient, DICOM View Position (0018,5101)."""

    AP = "AP"
    PA = "PA"


class LateralView(StrEnum):
    """Side of the patient next to the detector, DICOM View Position (0018,5101): LL or RL."""

    LEFT = "LL"
    RIGHT = "RL"


@final
class Grid(BaseModel):
    """The canonical isotropic volume grid, centred on the isocentre.

    Attributes:
        shape: voxels along (z, y, x).
        voxel_mm: edge of the cubic voxel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    shape: tuple[Cells, Cells, Cells]
    voxel_mm: PositiveMm

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge lengths along (z, y, x) in mm, outer face to outer face."""
        z, y, x = self.shape
        return (z * self.voxel_mm, y * self.voxel_mm, x * self.voxel_mm)


@final
class Geometry(BaseModel):
    """Source, detector and views of the radiograph pair.

    Attributes:
        source_patient_mm: source to isocentre, DICOM Distance Source to Patient (0018,1111).
        source_detector_mm: source to detector, DICOM Distance Source to Detector (0018,1110).
        detector_shape: detector pixels along (rows, columns).
        pixel_mm: pixel pitch at the detector, DICOM Imager Pixel Spacing (0018,1164); square pixels.
        frontal: beam direction of the frontal view.
        lateral: side next to the detector in the lateral view.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source_patient_mm: PositiveMm = 1000.0
    source_detector_mm: PositiveMm = 1500.0
    detector_shape: tuple[Cells, Cells]
    pixel_mm: PositiveMm
    frontal: FrontalView = FrontalView.PA
    lateral: LateralView = LateralView.LEFT

    @model_validator(mode="after")
    def _detector_behind_patient(self) -> Geometry:
        if self.source_detector_mm <= self.source_patient_mm:
            raise ValueError("source_detector_mm must exceed source_patient_mm: the detector lies behind the patient")
        return self
