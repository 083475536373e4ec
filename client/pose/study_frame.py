"""A film as the study's detector would have seen it: its pixels, its distances, the patient unposed as far as one can.

A point of the patient's plane through the isocentre, square to the study's beam, is looked up where the film shows it.
For that plane shift, tilt in the image, depth and magnification are undone exactly; what lies before or behind it keeps
the parallax of the film's own room and pose.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.pose.film_levels import detector_pixel_mm
from client.pose.pair_pose import ViewPose
from client.pose.rooms import rooms_of
from client.pose.view_fit import Room
from client.radiographs import Film
from common.geometry import Geometry, Pose

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# SD of the Gaussian that keeps a film from aliasing, in its own pixels a pixel of the study's.
_SMOOTH_OF_FACTOR: Final = 0.4


def in_study_frame(film: Film, integrals: Image, geometry: Geometry, found: ViewPose | None) -> tuple[Image, Mask]:
    """A film's line integrals on the study's detector.

    Args:
        film: as it was read.
        integrals: (row, column) of its pixels, calibrated (:meth:`client.pose.FilmCalibration.applied`).
        geometry: the study's.
        found: the film's pose; None where there is no CT: then the patient is taken to lie at the isocentre, unturned.

    Returns:
        (row, column) line integrals of the study's detector, and where the film was exposed; beyond it each has the
        value of the film's nearest pixel.
    """
    room, pose = (found.room, found.pose) if found is not None else (rooms_of(film)[0], Pose())
    own_mm = detector_pixel_mm(film)
    rows, columns = _places(geometry, room, pose, own_mm, film.integrals.shape)
    at_patient_mm = geometry.pixel_mm * geometry.source_patient_mm / geometry.source_detector_mm
    factor = at_patient_mm * room.magnification / own_mm
    smooth = ndimage.gaussian_filter(integrals, _SMOOTH_OF_FACTOR * factor, mode="nearest") if factor > 1 else integrals
    seen = ndimage.map_coordinates(smooth, (rows, columns), order=1, mode="nearest")
    exposed = ndimage.map_coordinates(film.exposed.astype(np.float32), (rows, columns), order=1, mode="constant")
    return np.asarray(seen, dtype=np.float32), np.asarray(exposed > 1 - 1e-3)


def _places(
    geometry: Geometry, room: Room, pose: Pose, own_mm: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column of the film, fractional, for each of the study's pixels."""
    beam = geometry.beams[room.view]
    scale = geometry.source_patient_mm / geometry.source_detector_mm
    up, aside = np.meshgrid(
        geometry.row_centres_mm(beam) * scale, geometry.column_centres_mm(beam) * scale, indexing="ij"
    )
    along, across = 2 - beam.along, 2 - beam.across
    plane = np.zeros((*up.shape, 3))
    plane[..., 2], plane[..., across] = up, aside
    placed = plane @ pose.rotation.T + np.array(pose.translation_mm)
    seen = room.source_detector_mm / (room.source_patient_mm - room.side * placed[..., along])
    rows = (shape[0] - 1) / 2 - placed[..., 2] * seen / own_mm
    columns = (shape[1] - 1) / 2 + placed[..., across] * seen / own_mm
    return rows, columns
