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

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.errors import ExitCode, Refusal

MINIMUM_CELLS = 8

AngleDeg = Annotated[float, Field(gt=-45, lt=45, allow_inf_nan=False)]
ShiftMm = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
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
class Pose(BaseModel):
    """How the patient lies in the beam: ``room = Rz(yaw) Ry(roll) Rx(pitch) patient + translation``, all LPS.

    Angles are right-handed about the LPS axes, turned about the isocentre. The two angles of a positioner that DICOM
    knows, Positioner Primary Angle (0018,1510) and Positioner Secondary Angle (0018,1511), turn the beam and not the
    patient: a primary angle is a yaw of the opposite sign, a secondary angle a pitch of the opposite sign.

    Attributes:
        pitch_deg: about the left axis; positive bows the head, chin to chest.
        roll_deg: about the posterior axis; positive leans the head to its left shoulder.
        yaw_deg: about the superior axis; positive turns the face to the patient's left.
        translation_mm: the patient's shift towards left, posterior and superior.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    pitch_deg: AngleDeg = 0.0
    roll_deg: AngleDeg = 0.0
    yaw_deg: AngleDeg = 0.0
    translation_mm: tuple[ShiftMm, ShiftMm, ShiftMm] = (0.0, 0.0, 0.0)

    @property
    def rotation(self) -> FloatArray:
        """(3, 3) rotation of patient (x, y, z) into room (x, y, z)."""
        angles = np.radians((self.pitch_deg, self.roll_deg, self.yaw_deg))
        (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
        about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)

    def patient_mm(self, room_mm: FloatArray) -> FloatArray:
        """Room points in patient coordinates, (..., 3) LPS (x, y, z) in mm."""
        return np.asarray((room_mm - np.array(self.translation_mm)) @ self.rotation, dtype=np.float64)


@final
@dataclass(frozen=True)
class Beam:
    """The cone beam of one view.

    Attributes:
        name: ``frontal`` or ``lateral``.
        along: (z, y, x) axis along the central ray: 1 for the frontal view, 2 for the lateral.
        across: the axis that the image's columns follow.
        source_mm: LPS coordinate of the source on the central ray's axis.
        offset_mm: the detector's centre (towards superior, along its columns) from the central ray.
        pose: how the patient lies in this beam.
    """

    name: str
    along: int
    across: int
    source_mm: float
    offset_mm: tuple[float, float]
    pose: Pose


@final
@dataclass(frozen=True)
class Rays:
    """The rays of one view in patient coordinates, LPS (x, y, z) in mm from the isocentre.

    Attributes:
        source_mm: (3,), the focal spot.
        corner_mm: (3,), the centre of pixel (0, 0).
        row_step_mm: (3,), from one row's centre to the next.
        column_step_mm: (3,), from one column's centre to the next.
    """

    source_mm: FloatArray
    corner_mm: FloatArray
    row_step_mm: FloatArray
    column_step_mm: FloatArray


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
        frontal_offset_mm: the frontal detector's centre from the central ray's foot, towards (superior, left).
        lateral_offset_mm: the lateral detector's centre from the central ray's foot, towards (superior, posterior).
        frontal_pose: how the patient lies in the frontal view.
        lateral_pose: how the patient lies in the lateral view.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source_patient_mm: PositiveMm = 1000.0
    source_detector_mm: PositiveMm = 1500.0
    detector_shape: tuple[Cells, Cells]
    pixel_mm: PositiveMm
    frontal: FrontalView = FrontalView.PA
    lateral: LateralView = LateralView.LEFT
    frontal_offset_mm: tuple[ShiftMm, ShiftMm] = (0.0, 0.0)
    lateral_offset_mm: tuple[ShiftMm, ShiftMm] = (0.0, 0.0)
    frontal_pose: Pose = Pose()
    lateral_pose: Pose = Pose()

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
            Beam("frontal", 1, 2, posterior * self.source_patient_mm, self.frontal_offset_mm, self.frontal_pose),
            Beam("lateral", 2, 1, left * self.source_patient_mm, self.lateral_offset_mm, self.lateral_pose),
        )

    def row_centres_mm(self, beam: Beam) -> FloatArray:
        """Superior coordinate of each row's centre on the detector, in mm from the central ray: falling."""
        return beam.offset_mm[0] - _centred(self.detector_shape[0], self.pixel_mm)

    def column_centres_mm(self, beam: Beam) -> FloatArray:
        """Left (frontal) or posterior (lateral) coordinate of each column's centre on the detector, in mm."""
        return beam.offset_mm[1] + _centred(self.detector_shape[1], self.pixel_mm)

    def rays(self, beam: Beam) -> Rays:
        """The beam's focal spot and pixel centres as the posed patient meets them."""
        x_y_z = 2 - beam.along, 2 - beam.across
        source, corner, row, column = np.zeros((4, 3))
        source[x_y_z[0]] = beam.source_mm
        corner[x_y_z[0]] = beam.source_mm - math.copysign(self.source_detector_mm, beam.source_mm)
        corner[x_y_z[1]] = self.column_centres_mm(beam)[0]
        corner[2] = self.row_centres_mm(beam)[0]
        row[2], column[x_y_z[1]] = -self.pixel_mm, self.pixel_mm
        turn = beam.pose.rotation
        return Rays(beam.pose.patient_mm(source), beam.pose.patient_mm(corner), row @ turn, column @ turn)

    def coarser(self, factor: int) -> Geometry:
        """The same detector in pixels ``factor`` times larger; distances and views stay.

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if an edge is not divisible, or would keep fewer than eight pixels.
        """
        rows, columns = (_divided(cells, factor, "geometry.detector_shape") for cells in self.detector_shape)
        update = {"detector_shape": (rows, columns), "pixel_mm": self.pixel_mm * factor}
        return Geometry.model_validate(self.model_dump() | update)


def expect_outside(geometry: Geometry, grid: Grid) -> None:
    """All planes of the volume lie between the source and every pixel, in both views.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` naming the view.
    """
    rows, columns = geometry.detector_shape
    for beam in geometry.beams:
        half_mm = grid.extent_mm[beam.along] / 2
        rays, main = geometry.rays(beam), 2 - beam.along
        ends = [
            (rays.corner_mm + r * rays.row_step_mm + c * rays.column_step_mm)[main]
            for r in (0, rows - 1)
            for c in (0, columns - 1)
        ]
        expect_between(rays.source_mm[main], np.array(ends), (-half_mm, half_mm), beam)


def expect_between(source: float, detector: FloatArray, planes: tuple[float, float], beam: Beam) -> None:
    """The planes of a volume lie between the source and every pixel, all measured along the volume's axis.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` naming the view.
    """
    low, high = planes
    if not ((source > high and detector.max() < low) or (source < low and detector.min() > high)):
        raise Refusal(
            ExitCode.GEOMETRY_INVALID,
            f"source or detector of the {beam.name} view lies inside the volume",
            where="geometry",
            mend="move both further from the isocentre, shrink the volume, or turn the patient less",
        )


def no_ray_crosses(beam: Beam) -> Refusal:
    """The refusal of a view whose detector misses the volume."""
    return Refusal(
        ExitCode.GEOMETRY_INVALID,
        f"no ray of the {beam.name} view crosses the volume",
        where="geometry",
        mend="choose smaller pixels, a larger grid, or less offset and shift",
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
