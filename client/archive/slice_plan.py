"""Which slices of a series to decode and in which order: parallel, each place once, no gaps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from client.archive.repeats import Twins, has_duplicate_numbers, twins_of, without_copies, without_watched
from client.archive.slice_header import SliceHeader
from client.archive.stacks import along_normal
from client.archive.verdict_codes import VerdictCode
from common.study import CohortSettings

MINIMUM_SLICES = 10
MAXIMUM_TILT_DEG = 35.0
GAP_RATIO = 1.6


@final
@dataclass(frozen=True)
class Plan:
    """The slices of a series that headers allow, ordered along the normal.

    Attributes:
        slices: slices to decode, strays and copies left out, with one orientation and pixel spacing.
        spacing_mm: mean distance between neighbouring slices along the normal.
        coverage_mm: scanned length along the normal, half a slice beyond each end slice.
        tilt_deg: angle of the slices from axial about the patient's left, positive where the front is higher.
        steps_mm: least and greatest distance between neighbouring slices.
        twins: slices, each with another of its place, whose pixels must turn out to be the same.
        refuted: the verdict if they do not.
        set_aside: images of the series that are not used, by why.
    """

    slices: tuple[SliceHeader, ...]
    spacing_mm: float
    coverage_mm: float
    tilt_deg: float
    steps_mm: tuple[float, float]
    twins: Twins = ()
    refuted: VerdictCode = VerdictCode.REPEATED_ACQUISITIONS
    set_aside: Mapping[str, int] = field(default_factory=dict)

    @property
    def read(self) -> tuple[SliceHeader, ...]:
        """Every slice whose pixels are looked at: those to decode, then the twins."""
        return *self.slices, *(twin for _, twin in self.twins)


def plan_slices(images: Iterable[SliceHeader], limits: CohortSettings) -> Plan | VerdictCode:
    """The plan for CT images that are alike and can each be decoded, or why they make no stack."""
    kept = _levelled(without_copies(images))
    if len(kept) < MINIMUM_SLICES:
        return VerdictCode.TOO_FEW_SLICES
    turn = kept[0].orientation
    normal = np.cross(turn[:3], turn[3:])
    if math.degrees(math.acos(min(1.0, abs(normal[2])))) > MAXIMUM_TILT_DEG:
        return VerdictCode.TILT_BEYOND_LIMITS
    places = along_normal(kept)
    order = np.argsort(places, kind="stable")
    kept = without_watched([kept[index] for index in order], places[order])
    kept, twins, refuted = twins_of(kept, np.diff(along_normal(kept)))
    if len(kept) < MINIMUM_SLICES:
        return refuted if twins else VerdictCode.TOO_FEW_SLICES
    if has_duplicate_numbers(kept):
        return refuted if twins else VerdictCode.DUPLICATE_NUMBERS
    origins = np.array([header.position for header in kept])
    steps = np.diff(origins @ normal)
    # A block that lies elsewhere is held against its images; what shifts throughout lies too far from axial.
    if np.median(_sideways_mm(origins, normal)) > np.median(steps):
        return refuted if twins else VerdictCode.TILT_BEYOND_LIMITS
    tilt_deg = -_wrapped(math.degrees(math.atan2(turn[5], turn[4])))
    plan = _spaced(tuple(kept), steps, tilt_deg, limits)
    if isinstance(plan, VerdictCode):
        return refuted if twins else plan
    return replace(plan, twins=twins, refuted=refuted)


def _levelled(images: Sequence[SliceHeader]) -> list[SliceHeader]:
    """Headers with one orientation and spacing, where those of single slices jitter about them."""
    if len({(header.orientation, header.pixel_spacing_mm) for header in images}) <= 1:
        return list(images)
    row, column = np.mean([header.orientation for header in images], axis=0).reshape(2, 3)
    row /= np.linalg.norm(row)
    column -= (column @ row) * row
    column /= np.linalg.norm(column)
    spacing = tuple(float(value) for value in np.median([header.pixel_spacing_mm for header in images], axis=0))
    turn = tuple(float(value) for value in (*row, *column))
    return [header._replace(orientation=turn, pixel_spacing_mm=spacing) for header in images]


def _spaced(
    images: tuple[SliceHeader, ...], steps: NDArray[np.float64], tilt_deg: float, limits: CohortSettings
) -> Plan | VerdictCode:
    if _has_gap(images, steps):
        return VerdictCode.SLICE_GAPS
    if steps.max() > limits.max_slice_mm:
        return VerdictCode.TOO_THICK
    coverage_mm = float(steps.sum() + (steps[0] + steps[-1]) / 2)
    if coverage_mm < limits.minimum_coverage_mm:
        return VerdictCode.COVERAGE_TOO_SHORT
    return Plan(images, float(steps.mean()), coverage_mm, tilt_deg, (float(steps.min()), float(steps.max())))


def _has_gap(images: tuple[SliceHeader, ...], steps: NDArray[np.float64]) -> bool:
    """Whether a step exceeds what both the slices' own thickness and the steps beside it explain."""
    beside = np.pad(steps, 1, mode="edge")
    for index, step in enumerate(steps):
        thickness = [images[index + side].thickness_mm for side in (0, 1)]
        known = [value for value in thickness if value is not None]
        near = (beside[index], beside[index + 2])
        expected = max([*known, min(near)]) if known else max(near)
        if step > GAP_RATIO * expected:
            return True
    return False


def _sideways_mm(origins: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """In-plane shift from each slice to the next, mm: a tilted gantry gives tan(tilt) of the step."""
    shifts = np.diff(origins, axis=0)
    sideways: NDArray[np.float64] = np.linalg.norm(shifts - np.outer(shifts @ normal, normal), axis=1)
    return sideways


def _wrapped(angle_deg: float) -> float:
    """The angle of the slice plane: 180 degrees apart is the same plane."""
    return (angle_deg + 90.0) % 180.0 - 90.0
