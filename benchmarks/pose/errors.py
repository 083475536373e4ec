"""How far a found pose is from the true one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from client.pose import Room, ViewPose
from common.geometry import Geometry, Pose

Points = NDArray[np.float64]

TISSUE_HU, POINTS = -200, 400


@final
@dataclass(frozen=True)
class PoseError:
    """One view's.

    Attributes:
        turn_deg: angle between the two rotations.
        across_mm, depth_mm: between the two shifts, across the beam and along it.
        reprojected_mm: median over points of the head of how far apart they are seen, at the isocentre.
    """

    turn_deg: float
    across_mm: float
    depth_mm: float
    reprojected_mm: float


def pose_error(found: ViewPose, truth: Pose, geometry: Geometry, points_mm: Points) -> PoseError:
    """Found against true.

    Args:
        found: in whatever room it was found in.
        truth: in the true room.
        geometry: the true room.
        points_mm: (point, 3) LPS points of the head in the patient's frame.
    """
    view = found.room.view
    direction = geometry.lateral if view else geometry.frontal
    room = Room(direction, geometry.source_patient_mm, geometry.source_detector_mm, is_known=True)
    turn = (np.trace(found.pose.rotation @ truth.rotation.T) - 1) / 2
    away = np.subtract(found.pose.translation_mm, truth.translation_mm)
    along = 0 if view else 1
    seen = seen_mm(found.pose, found.room, points_mm) - seen_mm(truth, room, points_mm)
    return PoseError(
        math.degrees(math.acos(min(max(float(turn), -1.0), 1.0))),
        float(np.linalg.norm(np.delete(away, along))),
        abs(float(away[along])),
        float(np.median(np.linalg.norm(seen, axis=1))) / room.magnification,
    )


def seen_mm(pose: Pose, room: Room, points_mm: Points) -> Points:
    """(point, 2): where points of the patient are seen on the detector, towards superior and along its columns."""
    placed = points_mm @ pose.rotation.T + np.array(pose.translation_mm)
    along, across = (0, 1) if room.view else (1, 0)
    scale = room.source_detector_mm / (room.source_patient_mm - room.side * placed[:, along])
    return np.stack((placed[:, 2] * scale, placed[:, across] * scale), axis=-1)


def head_points_mm(head_hu: NDArray[np.int16], voxel_mm: float) -> Points:
    """(400, 3) LPS points within the head, the same for the same head."""
    places = np.argwhere(head_hu > TISSUE_HU)
    chosen = places[np.random.default_rng(1).integers(len(places), size=POINTS)]
    return np.asarray((chosen - (np.array(head_hu.shape) - 1) / 2)[:, ::-1] * voxel_mm, dtype=np.float64)
