"""What every projector is given: a volume of attenuation, its spacing, and the geometry of the radiograph pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from common.geometry import FrontalView, Geometry, LateralView


@final
@dataclass(frozen=True)
class Scene:
    """A volume centred on the isocentre, axes along LPS, and the beams that cross it.

    Attributes:
        mu_per_mm: (z, y, x) float32, C-contiguous; indices grow towards superior, posterior and left.
        spacing_mm: voxel edges along (z, y, x).
        geometry: source, detector and views.
    """

    mu_per_mm: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    geometry: Geometry


@final
@dataclass(frozen=True)
class ViewRays:
    """Source (3,) and pixel centres (rows, columns, 3) of one view in the patient's LPS (x, y, z), mm."""

    source_mm: NDArray[np.float64]
    pixels_mm: NDArray[np.float64]


def view_rays(geometry: Geometry) -> tuple[ViewRays, ViewRays]:
    """The frontal and lateral rays, written from the words of the conventions alone, not from the projector's code."""
    behind = geometry.source_detector_mm - geometry.source_patient_mm
    rows, columns = geometry.detector_shape
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    up = (rows / 2 - row - 0.5) * geometry.pixel_mm
    along = (column + 0.5 - columns / 2) * geometry.pixel_mm
    source_y = 1.0 if geometry.frontal is FrontalView.PA else -1.0
    source_x = -1.0 if geometry.lateral is LateralView.LEFT else 1.0
    frontal = np.stack(
        [along + geometry.frontal_offset_mm[1], 0 * up - source_y * behind, up + geometry.frontal_offset_mm[0]], -1
    )
    lateral = np.stack(
        [0 * up - source_x * behind, along + geometry.lateral_offset_mm[1], up + geometry.lateral_offset_mm[0]], -1
    )
    sources = np.array([[0, source_y, 0], [source_x, 0, 0]]) * geometry.source_patient_mm
    poses = (geometry.frontal_pose, geometry.lateral_pose)
    posed = []
    for source, pixels, pose in zip(sources, (frontal, lateral), poses, strict=True):
        angles = np.radians([pose.pitch_deg, pose.roll_deg, pose.yaw_deg])
        turn = np.eye(3)
        for axis, angle in enumerate(angles):
            turn = _about(axis, angle) @ turn
        shift = np.array(pose.translation_mm)
        # Room = turn @ patient + shift, so patient = turn transposed @ (room - shift).
        posed.append(ViewRays((source - shift) @ turn, (pixels - shift) @ turn))
    return posed[0], posed[1]


def _about(axis: int, angle: float) -> NDArray[np.float64]:
    """Right-handed rotation matrix about one coordinate axis (Rodrigues' formula)."""
    cross = np.zeros((3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    cross[j, i], cross[i, j] = 1.0, -1.0
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross), dtype=np.float64)
