"""What makes one procedural head differ from the next: measures drawn from a seed; defaults are the average head."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from client.phantom.shapes import Point

Pair = tuple[float, float]


class LesionKind(StrEnum):
    """Finding inside the cranial cavity."""

    BLEED = "bleed"
    SUBDURAL = "subdural"
    INFARCT = "infarct"
    CALCIFICATION = "calcification"


@final
@dataclass(frozen=True)
class Lesion:
    """A finding: an ellipsoid that changes the tissue it covers.

    Attributes:
        kind: what it is.
        centre, radii: (x, y, z) in mm.
        hu: value inside; for an infarct the (negative) change of the tissue's value.
    """

    kind: LesionKind
    centre: Point
    radii: Point
    hu: float


@final
@dataclass(frozen=True)
class Wave:
    """One mode of the smooth shape variation: displacement along ``axis`` (x 0, y 1, z 2), a product of three cosines.

    Attributes:
        amplitude_mm: peak displacement.
        per_mm: angular frequency along (x, y, z).
        phase: phases along (x, y, z).
    """

    axis: int
    amplitude_mm: float
    per_mm: Point
    phase: Point


@final
@dataclass(frozen=True)
class HeadPlan:
    """Measures of one head; paired measures are (right, left).

    Attributes:
        scale: size along (x, y, z) relative to the average.
        rotation_deg: pose about (x, y, z).
        translation_mm: pose along (x, y, z).
        waves: smooth shape variation; summed derivatives stay below 0.6, so nothing folds.
        face_height: length of the face below the orbits relative to the average.
        skull_mm: mean thickness of the vault.
        bone: factor on the HU of all bone.
        frontal_sinus, maxillary_sinus, mastoid_air: sizes relative to the average.
        sphenoid_sinus, ventricle: sizes relative to the average.
        septum_mm: deviation of the nasal septum to the left.
        fat_mm: thickness of the subcutaneous fat on the scalp.
        sulcus: width of the sulci relative to the average.
        folds: phases of the gyral pattern.
        missing_teeth: indices of absent teeth, -8 to 8 along the arch, upper from 0, lower from 100.
        jaw_mm: forward position of the mandible.
        lesions: findings.
    """

    scale: Point = (1.0, 1.0, 1.0)
    rotation_deg: Point = (0.0, 0.0, 0.0)
    translation_mm: Point = (0.0, 0.0, 0.0)
    waves: tuple[Wave, ...] = ()
    face_height: float = 1.0
    skull_mm: float = 6.5
    bone: float = 1.0
    frontal_sinus: Pair = (1.0, 1.0)
    maxillary_sinus: Pair = (1.0, 1.0)
    mastoid_air: Pair = (1.0, 1.0)
    sphenoid_sinus: float = 1.0
    ventricle: float = 1.0
    septum_mm: float = 0.0
    fat_mm: float = 4.0
    sulcus: float = 1.0
    folds: Point = (0.0, 0.0, 0.0)
    missing_teeth: frozenset[int] = frozenset()
    jaw_mm: float = 0.0
    lesions: tuple[Lesion, ...] = ()

    @classmethod
    def drawn(cls, seed: int) -> Self:
        """The head that belongs to a seed: equal seeds give equal heads."""
        rng = np.random.default_rng([seed, 0x4EAD])

        def normal(spread: float, limit: float, mean: float = 0.0) -> float:
            return mean + float(np.clip(rng.normal(0.0, spread), -limit, limit))

        def pair(spread: float, limit: float) -> Pair:
            shared = normal(spread, limit, 1.0)
            return shared + normal(0.15, 0.3), shared + normal(0.15, 0.3)

        def triple(spread: float, limit: float, mean: float = 0.0) -> Point:
            return normal(spread, limit, mean), normal(spread, limit, mean), normal(spread, limit, mean)

        missing = rng.choice(17, size=int(rng.integers(0, 7)), replace=False) - 8
        rows = rng.integers(0, 2, size=missing.size) * 100
        return cls(
            scale=triple(0.04, 0.07, 1.0),
            rotation_deg=triple(2.5, 6.0),
            translation_mm=triple(2.0, 4.0),
            waves=_draw_waves(rng),
            face_height=normal(0.05, 0.1, 1.0),
            skull_mm=normal(1.1, 2.2, 6.5),
            bone=float(rng.uniform(0.85, 1.15)),
            frontal_sinus=pair(0.3, 0.5),
            maxillary_sinus=pair(0.1, 0.2),
            mastoid_air=pair(0.2, 0.4),
            sphenoid_sinus=normal(0.15, 0.3, 1.0),
            ventricle=normal(0.25, 0.4, 1.05),
            septum_mm=normal(1.5, 3.0),
            fat_mm=normal(1.2, 2.0, 4.0),
            sulcus=normal(0.3, 0.6, 1.0),
            folds=triple(2.0, 6.0),
            missing_teeth=frozenset(int(tooth) for tooth in missing + rows),
            jaw_mm=normal(2.0, 4.0),
            lesions=_draw_lesions(rng),
        )


def _draw_waves(rng: np.random.Generator) -> tuple[Wave, ...]:
    waves: list[Wave] = []
    for axis in (0, 1, 2):
        for lowest_mm, highest_mm, peak_mm in ((170.0, 260.0, 2.6), (90.0, 140.0, 1.2)):
            lengths = rng.uniform(lowest_mm, highest_mm, size=3)
            per_mm = 2 * np.pi / lengths
            phase = rng.uniform(0, 2 * np.pi, size=3)
            amplitude = float(rng.uniform(0.4, 1.0)) * peak_mm * (1 if rng.random() < 0.5 else -1)
            waves.append(Wave(axis, amplitude, _point(per_mm), _point(phase)))
    return tuple(waves)


def _draw_lesions(rng: np.random.Generator) -> tuple[Lesion, ...]:
    lesions: list[Lesion] = []
    side = 1.0 if rng.random() < 0.5 else -1.0
    deep = (side * rng.uniform(18, 40), rng.uniform(-40, 50), rng.uniform(20, 60))
    finding = rng.random()
    if finding < 0.15:
        lesions.append(
            Lesion(LesionKind.BLEED, _point(deep), _point(rng.uniform(6, 18, 3)), float(rng.uniform(55, 75)))
        )
    elif finding < 0.22:
        shell = (side * 68.0, float(rng.uniform(-25, 35)), float(rng.uniform(30, 50)))
        lesions.append(
            Lesion(
                LesionKind.SUBDURAL, shell, _point(rng.uniform((8, 35, 25), (14, 55, 40))), float(rng.uniform(55, 70))
            )
        )
    elif finding < 0.35:
        lesions.append(
            Lesion(LesionKind.INFARCT, _point(deep), _point(rng.uniform(12, 30, 3)), -float(rng.uniform(8, 15)))
        )
    if rng.random() < 0.6:
        lesions.append(
            Lesion(LesionKind.CALCIFICATION, (0.0, 24.0, 16.0), (2.2, 2.2, 2.2), float(rng.uniform(120, 300)))
        )
    if rng.random() < 0.5:
        for plexus in (-1.0, 1.0):
            size = float(rng.uniform(1.5, 3.5))
            at = (plexus * float(rng.uniform(20, 25)), float(rng.uniform(28, 36)), 24.0)
            lesions.append(Lesion(LesionKind.CALCIFICATION, at, (size, size, size), float(rng.uniform(100, 350))))
    return tuple(lesions)


def _point(values: NDArray[np.float64] | tuple[float, ...]) -> Point:
    a, b, c = (float(v) for v in values)
    return a, b, c
