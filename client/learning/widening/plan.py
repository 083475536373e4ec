"""What is drawn for one widened case: numbers alone, so that equal seeds give equal heads on any device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import final

import torch

from common.geometry import Geometry, Pose
from common.study import Widening

Point = tuple[float, float, float]

CUT_SD = 2.5
# An ellipsoid that lies inside the brain of any aligned head, LPS in mm about the grid's centre.
BRAIN_CENTRE_MM: Point = (0.0, 5.0, 28.0)
BRAIN_RADII_MM: Point = (42.0, 55.0, 30.0)
_LEAST_DISPLACEMENT = 0.5
_CUT_SLANT_DEG = 10.0
_CUT_HIGHEST_MM, _CUT_LOWEST_MM = -20.0, -105.0


class FindingKind(StrEnum):
    """What may be put into a brain."""

    BLEED = "bleed"
    INFARCT = "infarct"
    CALCIFICATION = "calcification"


@final
@dataclass(frozen=True)
class Finding:
    """An ellipsoid that changes the soft tissue it covers.

    Attributes:
        kind: what it is.
        centre_mm, radii_mm: LPS about the grid's centre.
        hu: value inside; for an infarct the (negative) change of the tissue's value.
    """

    kind: FindingKind
    centre_mm: Point
    radii_mm: Point
    hu: float


@final
@dataclass(frozen=True)
class Cut:
    """The lower end of a scan: nothing below ``height_mm + slope * y`` was scanned."""

    height_mm: float
    slope: float


@final
@dataclass(frozen=True)
class Plan:
    """The widening of one case.

    Attributes:
        flipped: whether left and right are exchanged.
        scale: size along x, y and z relative to the case.
        rotation_deg, shift_mm: turn about and move along x, y and z.
        displacement_mm: greatest peak of the smooth displacement.
        ventricles: size of the ventricles relative to the case.
        skull_mm: change of the thickness of bone.
        bone: factor on the HU of bone.
        finding: what is put into the brain.
        cut: where the scan ends.
        kernel: share of the finest detail that is added; negative takes away.
        noise_hu: SD of the scanner's noise.
        poses: of the patient in the frontal and the lateral radiograph.
        seed: of what is drawn in space: displacement, tissue and noise.
    """

    flipped: bool
    scale: Point
    rotation_deg: Point
    shift_mm: Point
    displacement_mm: float
    ventricles: float
    skull_mm: float
    bone: float
    finding: Finding | None
    cut: Cut | None
    kernel: float
    noise_hu: float
    poses: tuple[Pose, Pose]
    seed: int


def draw_plans(widening: Widening, geometry: Geometry, count: int, random: torch.Generator) -> list[Plan]:
    """One plan a case.

    Every plan takes equally many numbers, so that switching one strength on leaves the others' draws as they were.

    Args:
        widening: the study's strengths.
        geometry: tells along which axis each beam runs.
        count: cases.
        random: on the CPU.
    """
    return [_plan(widening, geometry, _Draws(random)) for _ in range(count)]


def _plan(widening: Widening, geometry: Geometry, draws: _Draws) -> Plan:
    flipped = draws.chance() < widening.flip
    scale = draws.evens(1.0, widening.scale)
    rotation, shift = draws.normals(widening.rotation_deg), draws.normals(widening.shift_mm)
    displacement = widening.displacement_mm * (_LEAST_DISPLACEMENT + (1 - _LEAST_DISPLACEMENT) * draws.chance())
    ventricles, bone = draws.even(1.0, widening.ventricles), draws.even(1.0, widening.bone)
    skull = draws.even(0.0, widening.skull_mm)
    finding, chance = _finding(draws), draws.chance()
    cut, cut_chance = _cut(draws), draws.chance()
    kernel, noise = draws.even(0.0, widening.kernel), widening.noise_hu * draws.chance()
    frontal, lateral = (_pose(widening, beam.along, draws) for beam in geometry.beams)
    return Plan(
        flipped=flipped,
        scale=scale,
        rotation_deg=rotation,
        shift_mm=shift,
        displacement_mm=displacement,
        ventricles=ventricles,
        skull_mm=skull,
        bone=bone,
        finding=finding if chance < widening.lesions else None,
        cut=cut if cut_chance < widening.coverage else None,
        kernel=kernel,
        noise_hu=noise,
        poses=(frontal, lateral),
        seed=draws.seed(),
    )


def _pose(widening: Widening, along: int, draws: _Draws) -> Pose:
    turn, move = draws.normals(widening.pose_deg), list(draws.normals(widening.pose_mm))
    # Moving the patient along the beam is what a wrong distance from the source does to the image.
    move[2 - along] += draws.normal(widening.distance_mm)
    return Pose(pitch_deg=turn[0], roll_deg=turn[1], yaw_deg=turn[2], translation_mm=(move[0], move[1], move[2]))


def _finding(draws: _Draws) -> Finding:
    kinds = list(FindingKind)
    kind = kinds[min(int(draws.chance() * len(kinds)), len(kinds) - 1)]
    turn, height, reach = 2 * math.pi * draws.chance(), draws.even(0.0, 1.0), draws.chance() ** (1 / 3)
    level = math.sqrt(1 - height * height)
    place = (level * math.cos(turn), level * math.sin(turn), height)
    centre = [c + r * reach * p for c, r, p in zip(BRAIN_CENTRE_MM, BRAIN_RADII_MM, place, strict=True)]
    least_mm, greatest_mm = {
        FindingKind.BLEED: (4.0, 18.0),
        FindingKind.INFARCT: (10.0, 28.0),
        FindingKind.CALCIFICATION: (2.0, 5.0),
    }[kind]
    radii = [least_mm + (greatest_mm - least_mm) * draws.chance() for _ in range(3)]
    low_hu, high_hu = {
        FindingKind.BLEED: (55.0, 75.0),
        FindingKind.INFARCT: (-15.0, -8.0),
        FindingKind.CALCIFICATION: (120.0, 350.0),
    }[kind]
    hu = low_hu + (high_hu - low_hu) * draws.chance()
    return Finding(kind, (centre[0], centre[1], centre[2]), (radii[0], radii[1], radii[2]), hu)


def _cut(draws: _Draws) -> Cut:
    height_mm = _CUT_LOWEST_MM + (_CUT_HIGHEST_MM - _CUT_LOWEST_MM) * draws.chance()
    return Cut(height_mm, math.tan(math.radians(draws.normal(_CUT_SLANT_DEG))))


@final
class _Draws:
    """Numbers in the order in which they are asked for."""

    def __init__(self, random: torch.Generator) -> None:
        self._random = random

    def chance(self) -> float:
        return float(torch.rand((), generator=self._random, dtype=torch.float64))

    def even(self, middle: float, reach: float) -> float:
        return middle + reach * (2 * self.chance() - 1)

    def evens(self, middle: float, reach: float) -> Point:
        return self.even(middle, reach), self.even(middle, reach), self.even(middle, reach)

    def normal(self, sd: float) -> float:
        drawn = float(torch.randn((), generator=self._random, dtype=torch.float64))
        return sd * max(-CUT_SD, min(CUT_SD, drawn))

    def normals(self, sd: float) -> Point:
        return self.normal(sd), self.normal(sd), self.normal(sd)

    def seed(self) -> int:
        return int(torch.randint(0, 2**62, (), generator=self._random))
