"""The poses of films of which there is no CT: against the average procedural head, and no further than it can tell.

No patient's volume is needed, so none travels. Another person's head shows where the middle of the head lies and which
way it is turned in the image, to a few millimetres and degrees. How large it is seen says nothing of where it stood: a
large head looks like one that is near the source. So depth stays nominal, and a magnification that is stated is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client.phantom import template_head
from client.pose.pair_pose import ViewPose, estimate_poses
from client.radiographs import Film, Origin
from common.geometry import Grid

_GRID: Final = Grid(shape=(64, 64, 64), voxel_mm=3.6)
# Below that a film resembles no head in any pose, and its nominal one is as good. Other persons' reach 0.8 and more.
LEAST_LIKENESS: Final = 0.6


def poses_without_ct(films: Sequence[Film]) -> tuple[ViewPose | None, ...]:
    """How the patient lay for each film, by the average head; None where the film is not like it in any pose.

    Equal inputs give equal poses. The verdict of such a pose is that of a CT of somebody else.

    Args:
        films: of one patient and one sitting, at most one of each view.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if two films are of one view.
    """
    found = estimate_poses(films, _average_head(), _GRID.voxel_mm)
    return tuple(
        _held(film, one) if one.likeness >= LEAST_LIKENESS else None for film, one in zip(films, found, strict=True)
    )


def _held(film: Film, found: ViewPose) -> ViewPose:
    """The same place in the image, at the nominal depth and at the magnification that is stated."""
    room, view = found.room, found.room.view
    depth_mm = found.pose.translation_mm[1 - view]
    seen = room.source_detector_mm / (room.source_patient_mm - room.side * depth_mm)
    geometry = film.geometry
    is_told = geometry.magnification_origin is Origin.STATED or geometry.spacing_origin is Origin.CALIBRATED
    if not found.depth_is_known and is_told:
        room = room.magnified(geometry.magnification)
    left, back, up = (shift * seen / room.magnification for shift in found.pose.translation_mm)
    shift_mm = (0.0, back, up) if view else (left, 0.0, up)
    pose = found.pose.model_copy(update={"translation_mm": shift_mm})
    return replace(found, pose=pose, room=room, depth_is_known=False)


@lru_cache(maxsize=1)
def _average_head() -> NDArray[np.float32]:
    return np.asarray(template_head(_GRID), dtype=np.float32)
