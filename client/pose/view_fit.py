"""The pose of one view: a search by CMA-ES on a coarse head, then Gauss–Newton steps on a finer one.

Six numbers: three angles, two shifts across the beam, and one that decides how large the head is seen: its depth where
the distances of source and detector are known, the magnification where they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray

from client.pose.film_levels import FilmLevel
from client.pose.local_likeness import FilmWindows
from client.pose.posed_drr import PosedHead
from common.geometry import Beam, FrontalView, Geometry, LateralView, Pose

Numbers = NDArray[np.float64]

# One step of the search in each number: degrees, mm across the beam, mm of depth or a share of magnification.
_ANGLE_DEG, _ACROSS_MM, DEPTH_MM, _LOG_MAGNIFICATION = 4.0, 8.0, 12.0, 0.06
_MOST_STEPS: Final = 6.0
_SIGMA, _GENERATIONS, _POPULATION = 1.0, 25, 12
_GAUSS_NEWTON_STEPS: Final = 12
_DIFFERENCE: Final = 0.05
_SETTLED: Final = 2e-3
_DAMPING, _LEAST_DAMPING, _DAMPING_FACTOR, _TRIES = 1e-3, 1e-6, 10.0, 4


@final
@dataclass(frozen=True)
class Room:
    """Where source and detector of one view stand.

    Attributes:
        direction: of the beam through the patient.
        source_patient_mm, source_detector_mm: distances; nominal ones where they are not stated.
        is_known: whether both are stated.
    """

    direction: FrontalView | LateralView
    source_patient_mm: float
    source_detector_mm: float
    is_known: bool

    @property
    def view(self) -> int:
        """0 frontal, 1 lateral."""
        return int(isinstance(self.direction, LateralView))

    @property
    def side(self) -> float:
        """1 where the source stands towards posterior or left, else -1."""
        return 1.0 if self.direction in {FrontalView.PA, LateralView.RIGHT} else -1.0

    @property
    def magnification(self) -> float:
        """Of the isocentre on the detector."""
        return self.source_detector_mm / self.source_patient_mm

    def magnified(self, magnification: float) -> Room:
        """The same source with the detector at another distance."""
        return replace(self, source_detector_mm=self.source_patient_mm * magnification)

    def geometry(self, level: FilmLevel) -> Geometry:
        """With the level's pixels for a detector."""
        rows, columns = level.integrals.shape
        named = {"lateral": self.direction} if self.view else {"frontal": self.direction}
        side = "lateral" if self.view else "frontal"
        return Geometry.model_validate(
            {
                "source_patient_mm": self.source_patient_mm,
                "source_detector_mm": self.source_detector_mm,
                "detector_shape": (rows, columns),
                "pixel_mm": level.pixel_mm,
                f"{side}_offset_mm": level.offset_mm,
                **named,
            }
        )


@final
class ViewFit:
    """One film at one resolution against one head.

    Args:
        head: of the view's beam.
        level: the film in pixels of the head's resolution.
        room: source and detector.
    """

    def __init__(self, head: PosedHead, level: FilmLevel, room: Room) -> None:
        self.room = room
        self._head = head
        self._level = level
        self._geometry = room.geometry(level)
        self._beam = self._geometry.beams[room.view]
        self._windows = FilmWindows(level.integrals, level.counted)

    def pose(self, numbers: Numbers) -> Pose:
        """The pose that six numbers stand for; of a room with unknown distances its depth is zero."""
        depth_mm = DEPTH_MM * numbers[5] if self.room.is_known else 0.0
        pitch, roll, yaw = (float(_ANGLE_DEG * number) for number in numbers[:3])
        up_mm, across_mm = (float(_ACROSS_MM * number) for number in numbers[3:5])
        shift_mm = (float(depth_mm), across_mm, up_mm) if self.room.view else (across_mm, float(depth_mm), up_mm)
        return Pose(pitch_deg=pitch, roll_deg=roll, yaw_deg=yaw, translation_mm=shift_mm)

    def seen_in(self, numbers: Numbers) -> Room:
        """The room with the magnification that six numbers stand for."""
        if self.room.is_known:
            return self.room
        return self.room.magnified(self.room.magnification * float(np.exp(_LOG_MAGNIFICATION * numbers[5])))

    def drr(self, numbers: Numbers) -> NDArray[np.float32]:
        """(row, column) line integrals in this pose."""
        geometry, beam = self._geometry, self._beam
        if not self.room.is_known:
            far_mm = self.seen_in(numbers).source_detector_mm
            geometry = geometry.model_copy(update={"source_detector_mm": far_mm})
        posed: Beam = replace(beam, pose=self.pose(numbers))
        return self._head.integrals(geometry, posed)

    def likeness(self, numbers: Numbers) -> float:
        """Mean local correlation of film and DRR."""
        return self._windows.likeness(self.drr(numbers))

    def evidence(self, numbers: Numbers) -> float:
        """The same, with what the head does not show of the film as roughly alike."""
        return self._windows.evidence(self.drr(numbers))

    def searched(self, start: Numbers, seed: int) -> Numbers:
        """The best of a search by CMA-ES (Hansen 2016, arXiv:1604.00772) about a start; the same for the same seed."""
        bounds = np.tile([-_MOST_STEPS, _MOST_STEPS], (len(start), 1))
        search = CMA(mean=start, sigma=_SIGMA, bounds=bounds, seed=seed, population_size=_POPULATION)
        best = start, self.evidence(start)
        for _ in range(_GENERATIONS):
            asked = [search.ask() for _ in range(_POPULATION)]
            told = [(numbers, -self.evidence(numbers)) for numbers in asked]
            search.tell(told)
            nearest = min(told, key=lambda pair: pair[1])
            if -nearest[1] > best[1]:
                best = nearest[0], -nearest[1]
        return best[0]

    def refined(self, start: Numbers) -> tuple[Numbers, float]:
        """Damped Gauss–Newton steps on locally normalised images while the likeness grows; with the likeness."""
        numbers, likeness, damping = start, self.likeness(start), _DAMPING
        for _ in range(_GAUSS_NEWTON_STEPS):
            products, slope = self._normal_equations(numbers)
            for _ in range(_TRIES):
                step = np.linalg.solve(products + damping * np.diag(np.diag(products) + 1e-9), slope)
                grown = self.likeness(numbers + step) if np.abs(numbers + step).max() < 2 * _MOST_STEPS else -1.0
                if grown > likeness:
                    break
                damping *= _DAMPING_FACTOR
            else:
                break
            numbers, likeness, damping = numbers + step, grown, max(damping / _DAMPING_FACTOR, _LEAST_DAMPING)
            if np.abs(step).max() < _SETTLED:
                break
        return numbers, likeness

    def _normal_equations(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        units = np.eye(len(numbers)) * _DIFFERENCE
        aside = [self.drr(numbers + sign * unit) for unit in units for sign in (-1, 1)]
        away, *moved = self._windows.differences([self.drr(numbers), *aside])
        pairs = zip(moved[::2], moved[1::2], strict=True)
        slopes = [(before - after) / (2 * _DIFFERENCE) for before, after in pairs]
        # Summed in one order whatever the number of threads: equal inputs give equal poses.
        products = [[float(np.einsum("i,i", one, other)) for other in slopes] for one in slopes]
        return np.array(products), np.array([float(np.einsum("i,i", one, away)) for one in slopes])


def refined_through(levels: Sequence[ViewFit], start: Numbers) -> tuple[Numbers, float]:
    """Refined on every level in turn, coarse to fine."""
    likeness = -1.0
    for level in levels:
        start, likeness = level.refined(start)
    return start, likeness
