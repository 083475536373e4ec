"""Which slices of a series to decode and in which order: parallel, each place once, no gaps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from client.archive.slice_header import SliceHeader
from client.archive.verdict_codes import VerdictCode
from common.study import CohortSettings

MINIMUM_SLICES = 10
MAXIMUM_TILT_DEG = 35.0
SAME_POSITION_MM = 0.05
GAP_RATIO = 1.6
SAME_ORIENTATION = 1e-3


@final
@dataclass(frozen=True)
class Plan:
    """The slices of a series that headers allow, ordered along the normal.

    Attributes:
        slices: slices to decode, localizers and copies left out.
        spacing_mm: mean distance between neighbouring slices along the normal.
        coverage_mm: scanned length along the normal, half a slice beyond each end slice.
        tilt_deg: angle of the slices from axial about the patient's left, positive where the front is higher.
        steps_mm: least and greatest distance between neighbouring slices.
    """

    slices: tuple[SliceHeader, ...]
    spacing_mm: float
    coverage_mm: float
    tilt_deg: float
    steps_mm: tuple[float, float]


def plan_slices(images: Iterable[SliceHeader], limits: CohortSettings) -> Plan | VerdictCode:
    """The plan for CT images that can each be decoded, or why they make no stack."""
    kept = _without_copies(images)
    if len(kept) < MINIMUM_SLICES:
        return VerdictCode.TOO_FEW_SLICES
    orientations = np.array([header.orientation for header in kept])
    if np.ptp(orientations, axis=0).max() > SAME_ORIENTATION:
        return VerdictCode.MIXED_ORIENTATION
    if any(header.matrix != kept[0].matrix for header in kept):
        return VerdictCode.MIXED_SIZE
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    if math.degrees(math.acos(min(1.0, abs(normal[2])))) > MAXIMUM_TILT_DEG:
        return VerdictCode.TILT_BEYOND_LIMITS
    origins = np.array([header.position for header in kept])
    order = np.argsort(origins @ normal, kind="stable")
    kept, origins = [kept[index] for index in order], origins[order]
    steps = np.diff(origins @ normal)
    fault = _repetition(kept, steps)
    if fault is not None:
        return fault
    # A block that lies elsewhere is held against its images; what shifts throughout lies too far from axial.
    if np.median(_sideways_mm(origins, normal)) > np.median(steps):
        return VerdictCode.TILT_BEYOND_LIMITS
    tilt_deg = -_wrapped(math.degrees(math.atan2(orientations[0, 5], orientations[0, 4])))
    return _spaced(tuple(kept), steps, tilt_deg, limits)


def _without_copies(images: Iterable[SliceHeader]) -> list[SliceHeader]:
    """One header per slice: the same file found twice counts once."""
    kept: dict[object, SliceHeader] = {}
    for header in images:
        kept.setdefault((header.instance, header.frame, header.size_bytes, header.position), header)
    return list(kept.values())


def _repetition(images: list[SliceHeader], steps: NDArray[np.float64]) -> VerdictCode | None:
    """What occurs twice that must not: places of slices, then their identifiers and numbers."""
    places = np.concatenate([[0], np.cumsum(steps >= SAME_POSITION_MM)])
    at_each = np.bincount(places)
    if at_each.min() > 1:
        return VerdictCode.REPEATED_ACQUISITIONS
    if at_each.max() > 1:
        return VerdictCode.DUPLICATE_SLICES
    slices = Counter((header.instance, header.frame) for header in images)
    objects = Counter(header.instance for header in images)
    # Frames are numbered within their object; numbers that are all the same number nothing.
    numbers = Counter(header.number for header in images if header.number is not None and objects[header.instance] == 1)
    if max(slices.values()) > 1 or (len(numbers) > 1 and max(numbers.values()) > 1):
        return VerdictCode.DUPLICATE_NUMBERS
    return None


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
