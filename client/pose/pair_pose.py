"""The poses of one patient's films against the patient's CT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from client.pose.film_calibration import film_spectrum
from client.pose.film_levels import FilmLevel, detector_pixel_mm, film_level
from client.pose.pose_verdicts import PoseVerdict, pose_verdict
from client.pose.posed_drr import UNKNOWN, PosedHead, coarse_head, film_mu_per_mm
from client.pose.rooms import common_magnification, magnification_sd, rooms_of
from client.pose.unscanned import with_what_follows
from client.pose.view_fit import DEPTH_MM, Numbers, Room, ViewFit, refined_through
from client.radiographs import Film
from common.attenuation import AIR_HU, water_mu_per_mm
from common.errors import ExitCode, Refusal
from common.geometry import Pose
from common.spectrum import Spectrum

Image = NDArray[np.float32]

# Edges of the voxels that a pose is searched and then refined with: 32 and 64 across a head's 230 mm.
COARSE_MM, FINE_MM = 7.2, 3.6
_LARGEST_MM: Final = 8.0
_LEAST_RESTARTS, _MOST_RESTARTS = 2, 4
# Pitch, roll, yaw, up, across, depth of a symmetric head that looks the same from the side.
_LEANING_OTHERWISE: Final = np.array([1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
# Two restarts that end as near as that have found the same pose.
_SAME_DEG, _SAME_MM = 0.3, 0.3


@final
@dataclass(frozen=True)
class ViewPose:
    """How the patient lay for one film.

    Attributes:
        pose: of the patient in the film's room. Along the beam it is nominal where ``depth_is_known`` is false.
        room: source and detector; where they were not stated, nominal ones that show the head as large as the film.
        depth_is_known: whether both distances were stated, so that depth along the beam is a finding.
        likeness: mean local correlation of film and DRR, up to 1.
        spread_deg, spread_mm: angle and distance across the beam between the two best restarts.
        restarts: searches that were made.
        verdict: what can be thought of it.
    """

    pose: Pose
    room: Room
    depth_is_known: bool
    likeness: float
    spread_deg: float
    spread_mm: float
    restarts: int
    verdict: PoseVerdict


@final
class _Head:
    """The patient's CT in whatever voxels are asked for, each made once.

    Args:
        volume_hu: (z, y, x).
        voxel_mm: edge of its voxels.
    """

    def __init__(self, volume_hu: NDArray[np.int16] | Image, voxel_mm: float) -> None:
        self.voxel_mm = voxel_mm
        self._hu, self._unscanned = with_what_follows(volume_hu, voxel_mm)
        self._made: dict[tuple[float, Spectrum], Image] = {}

    def coarse(self, wanted_mm: float, kvp: float | None) -> Image:
        """(z, y, x) attenuation for a film of this voltage, marked where nobody has scanned."""
        spectrum = film_spectrum(kvp)
        key = wanted_mm, spectrum
        if key not in self._made:
            mu = film_mu_per_mm(self._hu, spectrum)
            self._made[key] = coarse_head(mu, self._unscanned, self.voxel_mm, wanted_mm)
        return self._made[key]


@final
@dataclass(frozen=True)
class _Found:
    """The best pose of a view in one room before its magnification is shared."""

    fits: tuple[ViewFit, ViewFit]
    numbers: Numbers
    likeness: float
    spread: tuple[float, float]
    restarts: int

    @property
    def room(self) -> Room:
        """As it was before the fit."""
        return self.fits[1].room


def estimate_poses(
    films: Sequence[Film], volume_hu: NDArray[np.int16] | Image, voxel_mm: float
) -> tuple[ViewPose, ...]:
    """How the patient lay for each film. Equal inputs give equal poses.

    Args:
        films: of one patient and one sitting, at most one of each view.
        volume_hu: (z, y, x) the patient's CT, isotropic, in the frame of :class:`common.geometry.Grid`: its centre is
            the isocentre of a patient in no particular pose.
        voxel_mm: edge of its voxels, at most 8.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if two films are of one view, or voxels are too large.
    """
    if len({film.is_lateral for film in films}) < len(films) or not films:
        raise _refused(f"{len(films)} films, not one of each view", "give one frontal film, one lateral film, or both")
    if not 0 < voxel_mm <= _LARGEST_MM:
        raise _refused(f"voxels of {voxel_mm:g} mm", f"give a CT with voxels of at most {_LARGEST_MM:g} mm")
    head = _Head(volume_hu, voxel_mm)
    found = [_best_room(film, head) for film in films]
    return tuple(
        _told(one, one.numbers, one.likeness, depth_is_known=True)
        if one.room.is_known
        else _at_magnification(film, one, head, _shared_magnification(one, films, found))
        for film, one in zip(films, found, strict=True)
    )


def film_drr(
    film: Film, found: ViewPose, volume_hu: NDArray[np.int16] | Image, voxel_mm: float, energy_kev: float
) -> Image:
    """What a study's DRR would show in a film's own pixels: (row, column) line integrals, for calibration.

    NaN where the film shows what the CT does not.

    Args:
        film: as it was read.
        found: its pose.
        volume_hu: (z, y, x) the patient's CT, as the pose was found with.
        voxel_mm: edge of its voxels.
        energy_kev: of the study's DRRs.
    """
    everywhere = np.ones(film.integrals.shape, dtype=bool)
    level = FilmLevel(film.integrals, everywhere, detector_pixel_mm(film), (0.0, 0.0))
    geometry = found.room.geometry(level)
    beam = replace(geometry.beams[found.room.view], pose=found.pose)
    hu, unscanned = with_what_follows(volume_hu, voxel_mm)
    mu = np.maximum(hu - np.float32(AIR_HU), 0) * np.float32(water_mu_per_mm(energy_kev) / -AIR_HU)
    marked = coarse_head(mu, unscanned, voxel_mm, voxel_mm)
    integrals = PosedHead.of(marked, voxel_mm, beam).integrals(geometry, beam)
    return np.where(integrals < UNKNOWN, integrals, np.float32(np.nan))


def _best_room(film: Film, head: _Head) -> _Found:
    """In each room that the film may have been taken in; the one in which it is most alike."""
    tried = [_found(_fits(film, head, room)) for room in rooms_of(film)]
    return max(tried, key=lambda one: one.likeness)


def _fits(film: Film, head: _Head, room: Room) -> tuple[ViewFit, ViewFit]:
    coarse, fine = (_level_fit(film, head, wanted_mm, room) for wanted_mm in (COARSE_MM, FINE_MM))
    return coarse, fine


def _level_fit(film: Film, head: _Head, wanted_mm: float, room: Room) -> ViewFit:
    level_mm = max(wanted_mm, head.voxel_mm)
    level = film_level(film, level_mm, room.magnification)
    beam = room.geometry(level).beams[room.view]
    return ViewFit(PosedHead.of(head.coarse(level_mm, film.kvp), level_mm, beam), level, room)


def _found(fits: tuple[ViewFit, ViewFit]) -> _Found:
    """Searches from several seeds until the two best agree, or there have been enough."""
    ends: list[tuple[Numbers, float]] = []
    while len(ends) < _MOST_RESTARTS:
        ends.append(_end(fits, seed=len(ends) + 1))
        ends.sort(key=lambda end: -fits[1].evidence(end[0]))
        if len(ends) >= _LEAST_RESTARTS:
            spread = _apart(*(fits[1].pose(numbers) for numbers, _ in ends[:2]), view=fits[1].room.view)
            if spread[0] < _SAME_DEG and spread[1] < _SAME_MM:
                break
    return _Found(fits, *ends[0], spread, len(ends))


def _end(fits: tuple[ViewFit, ViewFit], seed: int) -> tuple[Numbers, float]:
    """Where one search ends. From the side a head leaning left looks much as one leaning right: both are tried."""
    end = refined_through(fits, fits[0].searched(np.zeros(6), seed))
    if not fits[1].room.view:
        return end
    other = refined_through(fits, end[0] * _LEANING_OTHERWISE)
    return max(end, other, key=lambda one: fits[1].evidence(one[0]))


def _apart(one: Pose, other: Pose, *, view: int) -> tuple[float, float]:
    """Degrees, and mm across the beam, between two poses."""
    turn = (np.trace(one.rotation @ other.rotation.T) - 1) / 2
    shift = np.delete(np.subtract(one.translation_mm, other.translation_mm), 1 - view)
    return math.degrees(math.acos(min(max(float(turn), -1.0), 1.0))), float(np.linalg.norm(shift))


def _shared_magnification(one: _Found, films: Sequence[Film], found: Sequence[_Found]) -> float:
    """The magnification of all views of which nothing else was known beforehand than of this one."""
    alike = [
        (film, other)
        for film, other in zip(films, found, strict=True)
        if not other.room.is_known
        and other.room.source_patient_mm == one.room.source_patient_mm
        and other.room.source_detector_mm == one.room.source_detector_mm
    ]
    seen = [other.fits[1].seen_in(other.numbers).magnification for _, other in alike]
    sd = min(magnification_sd(film) for film, _ in alike)
    return common_magnification(seen, one.room.source_patient_mm, one.room.magnification, sd)


def _at_magnification(film: Film, found: _Found, head: _Head, shared: float) -> ViewPose:
    """The view's pose once more with the magnification that all views share; what is left of its size becomes depth."""
    fit = found.fits[1]
    room = replace(fit.room.magnified(shared), is_known=True)
    nearer_mm = room.source_patient_mm * (1 - shared / fit.seen_in(found.numbers).magnification)
    start = np.append(found.numbers[:5], room.side * nearer_mm / DEPTH_MM)
    again = _level_fit(film, head, FINE_MM, room)
    numbers, likeness = again.refined(start)
    return _told(replace(found, fits=(found.fits[0], again)), numbers, likeness, depth_is_known=False)


def _told(found: _Found, numbers: Numbers, likeness: float, *, depth_is_known: bool) -> ViewPose:
    fit = found.fits[1]
    pose = fit.pose(numbers)
    verdict = pose_verdict(likeness, *found.spread, pose.translation_mm[1 - fit.room.view])
    return ViewPose(pose, fit.room, depth_is_known, likeness, *found.spread, restarts=found.restarts, verdict=verdict)


def _refused(what: str, mend: str) -> Refusal:
    return Refusal(ExitCode.GEOMETRY_INVALID, what, where="pose", mend=mend)
