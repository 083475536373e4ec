"""The canonical grid and the cone-beam geometry of the two radiographs.

Conventions: arrays are (z, y, x); index 0 is the most right/anterior/inferior voxel, so that x, y and z indices grow
with DICOM LPS coordinates (left, posterior, superior). The grid's centre lies on the isocentre, the origin of all
coordinates in mm.

Radiographs are (rows, columns), hung as radiologists hang them; the detector is centred on the central ray and stands
square to it. Rows grow towards inferior in both views: the top of the image is superior. Frontal columns grow towards
the patient's left: the patient's right is at the image's left, whether the beam is AP or PA. Lateral columns grow
towards posterior: the face looks to the image's left, whichever side is next to the detector. The beam's direction
therefore changes only which side of the patient is magnified more: the side nearer the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.errors import ExitCode, Refusal

MINIMUM_CELLS = 8

PositiveMm = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
Cells = Annotated[int, Field(ge=MINIMUM_CELLS, le=1024)]
FloatArray = npt.NDArray[np.float64]


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

    def centres_mm(self, axis: int) -> FloatArray:
        """LPS coordinates of the voxel centres along a (z, y, x) axis, in mm from the isocentre."""
        return _centred(self.shape[axis], self.voxel_mm)

    def coarser(self, factor: int) -> Grid:
        """The same extent in voxels ``factor`` times larger.

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if an axis is not divisible, or would keep fewer than eight voxels.
        """
        z, y, x = (_divided(cells, factor, "grid.shape") for cells in self.shape)
        return Grid(shape=(z, y, x), voxel_mm=self.voxel_mm * factor)


@final
@dataclass(frozen=True)
class Beam:
    """The cone beam of one view.

    Attributes:
        name: ``frontal`` or ``lateral``.
        along: (z, y, x) axis along the central ray: 1 for the frontal view, 2 for the lateral.
        across: the axis that the image's columns follow.
        source_mm: LPS coordinate of the source on the central ray's axis.
    """

    name: str
    along: int
    across: int
    source_mm: float


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

    @property
    def beams(self) -> tuple[Beam, Beam]:
        """The frontal and the lateral beam, in the order of the radiograph pair."""
        posterior = 1.0 if self.frontal is FrontalView.PA else -1.0
        left = 1.0 if self.lateral is LateralView.RIGHT else -1.0
        return (
            Beam("frontal", along=1, across=2, source_mm=posterior * self.source_patient_mm),
            Beam("lateral", along=2, across=1, source_mm=left * self.source_patient_mm),
        )

    @property
    def row_centres_mm(self) -> FloatArray:
        """Superior coordinate of each row's centre on the detector, in mm from the central ray: falling."""
        return -_centred(self.detector_shape[0], self.pixel_mm)

    @property
    def column_centres_mm(self) -> FloatArray:
        """Left (frontal) or posterior (lateral) coordinate of each column's centre on the detector, in mm."""
        return _centred(self.detector_shape[1], self.pixel_mm)

    def coarser(self, factor: int) -> Geometry:
        """The same detector in pixels ``factor`` times larger; distances and views stay.

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if an edge is not divisible, or would keep fewer than eight pixels.
        """
        rows, columns = (_divided(cells, factor, "geometry.detector_shape") for cells in self.detector_shape)
        update = {"detector_shape": (rows, columns), "pixel_mm": self.pixel_mm * factor}
        return Geometry.model_validate(self.model_dump() | update)


def expect_outside(geometry: Geometry, grid: Grid) -> None:
    """Source and detector lie outside the volume in both views.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` naming the view.
    """
    detector_mm = geometry.source_detector_mm - geometry.source_patient_mm
    for beam in geometry.beams:
        half_mm = grid.extent_mm[beam.along] / 2
        if min(geometry.source_patient_mm, detector_mm) <= half_mm:
            raise Refusal(
                ExitCode.GEOMETRY_INVALID,
                f"source or detector of the {beam.name} view lies inside the volume",
                where="geometry",
                mend=f"move both more than {half_mm:g} mm from the isocentre, or shrink the grid",
            )


def _centred(cells: int, pitch_mm: float) -> FloatArray:
    return np.asarray((np.arange(cells) - (cells - 1) / 2) * pitch_mm, dtype=np.float64)


def _divided(cells: int, factor: int, field: str) -> int:
    if factor < 1 or cells % factor or cells // factor < MINIMUM_CELLS:
        raise Refusal(
            ExitCode.GEOMETRY_INVALID,
            f"{cells} cells cannot be made {factor} times coarser",
            where=field,
            mend=f"choose a multiple of {max(factor, 1)} of at least {MINIMUM_CELLS * max(factor, 1)}",
        )
    return cells // factor
