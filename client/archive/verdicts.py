"""Verdicts on series: why each one is used or not, judged first from headers alone and then from content."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import final

import numpy as np
from numpy.typing import NDArray

from client.archive.alignment import Alignment
from client.archive.decoding import SliceStack
from client.archive.discovery import Series
from client.archive.header import SliceHeader
from common.study import CohortSettings

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_STORAGE = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
LOCALIZER_WORDS = frozenset({"LOCALIZER", "LOCALISER", "SCOUT", "SURVIEW", "TOPOGRAM", "SCANOGRAM", "SCOUTVIEW"})

MINIMUM_SLICES = 10
MAXIMUM_SLICES = 4096
MAXIMUM_EDGE_PIXELS = 2048
MAXIMUM_VOXELS = 600_000_000
MAXIMUM_TILT_DEG = 35.0
SAME_POSITION_MM = 0.05
GAP_RATIO = 1.6

AIR_LOW_HU = (-1150.0, -800.0)
DENSE_HIGH_HU = 100.0
SKULL_SHARE = 0.7
BRAIN_SEEN_SHARE = 0.9
BRAIN_LIKE_SHARE = 0.7
BRAIN_MEDIAN_HU = (0.0, 80.0)
EMPTY_SKULL_HU = -150.0
LARGEST_RESIDUAL_HU = 220.0


class VerdictCode(StrEnum):
    """What quality control says of a series. Values travel in :class:`common.exchange.CohortFlow`."""

    ACCEPTED = "accepted"
    UNREADABLE = "unreadable"
    NOT_CT = "not_ct"
    MULTI_FRAME = "multi_frame"
    LOCALIZER_OR_DERIVED = "localizer_or_derived"
    NO_GEOMETRY = "no_geometry"
    NO_RESCALE = "no_rescale"
    TOO_LARGE = "too_large"
    COMPRESSION_UNSUPPORTED = "compression_unsupported"
    TOO_FEW_SLICES = "too_few_slices"
    MIXED_ORIENTATION = "mixed_orientation"
    MIXED_SIZE = "mixed_size"
    TILT_BEYOND_LIMITS = "tilt_beyond_limits"
    DUPLICATE_SLICES = "duplicate_slices"
    SLICE_GAPS = "slice_gaps"
    TOO_THICK = "too_thick"
    COVERAGE_TOO_SHORT = "coverage_too_short"
    HU_IMPLAUSIBLE = "hu_implausible"
    NOT_A_HEAD = "not_a_head"
    INCOMPLETE_HEAD = "incomplete_head"
    NOT_ALIGNED = "not_aligned"
    NOT_PROJECTED = "not_projected"
    DUPLICATE_OF_PATIENT = "duplicate_of_patient"
    DUPLICATE_CONTENT = "duplicate_content"


REASONS: dict[VerdictCode, str] = {
    VerdictCode.ACCEPTED: "used as a case",
    VerdictCode.UNREADABLE: "a file of the series is damaged or cannot be read",
    VerdictCode.NOT_CT: "not a CT image",
    VerdictCode.MULTI_FRAME: "multi-frame or Enhanced CT object, not classic slices",
    VerdictCode.LOCALIZER_OR_DERIVED: "localizer, secondary capture or derived images",
    VerdictCode.NO_GEOMETRY: "position, orientation, pixel spacing or size is missing or impossible",
    VerdictCode.NO_RESCALE: "rescale slope or intercept is missing, so values are not HU",
    VerdictCode.TOO_LARGE: "more pixels or slices than are decoded safely",
    VerdictCode.COMPRESSION_UNSUPPORTED: "pixel data are compressed in a way this installation cannot decode",
    VerdictCode.TOO_FEW_SLICES: f"fewer than {MINIMUM_SLICES} slices",
    VerdictCode.MIXED_ORIENTATION: "slices are not parallel",
    VerdictCode.MIXED_SIZE: "slices differ in rows, columns or pixel spacing",
    VerdictCode.TILT_BEYOND_LIMITS: f"slices lean over {MAXIMUM_TILT_DEG:g} degrees from axial or shift sideways",
    VerdictCode.DUPLICATE_SLICES: "several slices at one position",
    VerdictCode.SLICE_GAPS: "slices are missing",
    VerdictCode.TOO_THICK: "slices lie further apart than the study allows",
    VerdictCode.COVERAGE_TOO_SHORT: "less of the patient was scanned than the study asks for",
    VerdictCode.HU_IMPLAUSIBLE: "air, brain or bone are far from their HU",
    VerdictCode.NOT_A_HEAD: "no skull with brain inside was found",
    VerdictCode.INCOMPLETE_HEAD: "part of the brain lies outside the scan",
    VerdictCode.NOT_ALIGNED: "the head could not be brought into the canonical pose",
    VerdictCode.NOT_PROJECTED: "slices reach the study's source or detector, or a view meets nothing of the head",
    VerdictCode.DUPLICATE_OF_PATIENT: "a series of the same patient with finer spacing, then more slices, is used",
    VerdictCode.DUPLICATE_CONTENT: "the same images as an accepted case under another patient identifier",
}


@final
@dataclass(frozen=True)
class SeriesVerdict:
    """The verdict on one series, by pseudonym; it names no file.

    Attributes:
        series: pseudonym of the series.
        patient: pseudonym of the patient.
        code: the verdict.
        slices: image objects found.
    """

    series: str
    patient: str
    code: VerdictCode
    slices: int

    @property
    def reason(self) -> str:
        """The verdict in one line."""
        return REASONS[self.code]


@final
@dataclass(frozen=True)
class Plan:
    """The slices of a series that headers allow, ordered along the normal.

    Attributes:
        slices: image objects to decode, localizers and copies left out.
        spacing_mm: mean distance between neighbouring slices along the normal.
        coverage_mm: scanned length along the normal, half a slice beyond each end slice.
        tilt_deg: angle of the slices from axial about the patient's left, positive where the front is higher.
    """

    slices: tuple[SliceHeader, ...]
    spacing_mm: float
    coverage_mm: float
    tilt_deg: float


def judge_headers(series: Series, limits: CohortSettings) -> Plan | VerdictCode:
    """The slices to decode, or the first reason in the order of :class:`VerdictCode` why none can be."""
    if series.unreadable:
        return VerdictCode.UNREADABLE
    images = [header for header in series.slices if header.modality == "CT" or header.sop_class == CT_IMAGE_STORAGE]
    if not images:
        return VerdictCode.NOT_CT
    if all(_is_multi_frame(header) for header in images):
        return VerdictCode.MULTI_FRAME
    images = [header for header in images if not _is_localizer_or_derived(header)]
    if not images:
        return VerdictCode.LOCALIZER_OR_DERIVED
    fault = _unusable(images)
    if fault is not None:
        return fault
    return _judge_geometry(_without_copies(images), limits)


def judge_scale(stack: SliceStack) -> VerdictCode:
    """``HU_IMPLAUSIBLE`` unless the darkest values are air and the brightest are denser than water.

    Catches values stored without their offset of 1024, the commonest fault of converted archives.
    """
    air = AIR_LOW_HU[0] <= stack.raw_low_hu <= AIR_LOW_HU[1]
    return VerdictCode.ACCEPTED if air and stack.raw_high_hu > DENSE_HIGH_HU else VerdictCode.HU_IMPLAUSIBLE


def judge_alignment(alignment: Alignment) -> VerdictCode:
    """``ACCEPTED``, or why what was aligned is no whole head: skull first, then extent, then contents, then fit.

    A phantom that has skull, brain and face in true HU passes: content cannot tell it from a patient.
    """
    if alignment.skull_share < SKULL_SHARE:
        return VerdictCode.NOT_A_HEAD
    if alignment.brain_seen_share < BRAIN_SEEN_SHARE:
        return VerdictCode.INCOMPLETE_HEAD
    if alignment.brain_median_hu < EMPTY_SKULL_HU:
        return VerdictCode.NOT_A_HEAD
    if not BRAIN_MEDIAN_HU[0] <= alignment.brain_median_hu <= BRAIN_MEDIAN_HU[1]:
        return VerdictCode.HU_IMPLAUSIBLE
    if alignment.brain_like_share < BRAIN_LIKE_SHARE:
        return VerdictCode.NOT_A_HEAD
    return VerdictCode.ACCEPTED if alignment.residual_hu <= LARGEST_RESIDUAL_HU else VerdictCode.NOT_ALIGNED


def _is_multi_frame(header: SliceHeader) -> bool:
    return header.sop_class in ENHANCED_CT_STORAGE or header.frames > 1


def _is_localizer_or_derived(header: SliceHeader) -> bool:
    words = header.image_type
    derived = words[:1] == ("DERIVED",) or words[1:2] == ("SECONDARY",)
    return derived or header.sop_class != CT_IMAGE_STORAGE or bool(LOCALIZER_WORDS.intersection(words))


def _unusable(images: list[SliceHeader]) -> VerdictCode | None:
    """What makes single images undecodable."""
    if any(_is_multi_frame(header) for header in images):
        return VerdictCode.MULTI_FRAME
    if any(not header.has_geometry for header in images):
        return VerdictCode.NO_GEOMETRY
    if any(header.slope is None or header.intercept is None for header in images):
        return VerdictCode.NO_RESCALE
    edge = max(max(header.rows, header.columns) for header in images)
    voxels = sum(header.rows * header.columns for header in images)
    if edge > MAXIMUM_EDGE_PIXELS or len(images) > MAXIMUM_SLICES or voxels > MAXIMUM_VOXELS:
        return VerdictCode.TOO_LARGE
    if any(not header.decodable for header in images):
        return VerdictCode.COMPRESSION_UNSUPPORTED
    return None


def _without_copies(images: Iterable[SliceHeader]) -> list[SliceHeader]:
    """One object per SOP instance: the same file found twice counts once."""
    kept: dict[tuple[str, int], SliceHeader] = {}
    for header in images:
        kept.setdefault((header.instance, header.size_bytes), header)
    return list(kept.values())


def _judge_geometry(images: list[SliceHeader], limits: CohortSettings) -> Plan | VerdictCode:
    if len(images) < MINIMUM_SLICES:
        return VerdictCode.TOO_FEW_SLICES
    first = images[0]
    orientations = np.array([header.orientation for header in images])
    if np.ptp(orientations, axis=0).max() > 1e-3:
        return VerdictCode.MIXED_ORIENTATION
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    origins = np.array([header.position for header in images])
    order = np.argsort(origins @ normal, kind="stable")
    images, origins = [images[index] for index in order], origins[order]
    if any(header.matrix != first.matrix for header in images):
        return VerdictCode.MIXED_SIZE
    tilt_deg = math.degrees(math.atan2(orientations[0, 5], orientations[0, 4]))
    if math.degrees(math.acos(min(1.0, abs(normal[2])))) > MAXIMUM_TILT_DEG:
        return VerdictCode.TILT_BEYOND_LIMITS
    steps = np.diff(origins @ normal)
    if steps.min() < SAME_POSITION_MM:
        return VerdictCode.DUPLICATE_SLICES
    if _sideways_mm(origins, normal).max() > steps.max():
        return VerdictCode.TILT_BEYOND_LIMITS
    return _judge_spacing(tuple(images), steps, -_wrapped(tilt_deg), limits)


def _judge_spacing(
    images: tuple[SliceHeader, ...], steps: NDArray[np.float64], tilt_deg: float, limits: CohortSettings
) -> Plan | VerdictCode:
    if _has_gap(images, steps):
        return VerdictCode.SLICE_GAPS
    if steps.max() > limits.max_slice_mm:
        return VerdictCode.TOO_THICK
    coverage_mm = float(steps.sum() + (steps[0] + steps[-1]) / 2)
    if coverage_mm < limits.minimum_coverage_mm:
        return VerdictCode.COVERAGE_TOO_SHORT
    return Plan(images, float(steps.mean()), coverage_mm, tilt_deg)


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
