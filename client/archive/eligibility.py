"""Judges series: why each one is used or not, first from headers alone and then from content."""

from __future__ import annotations

from client.archive.alignment import Alignment
from client.archive.decoding import SliceStack
from client.archive.discovery import Series
from client.archive.header import SliceHeader
from client.archive.plan import Plan, plan_slices
from client.archive.verdict_codes import LARGEST_CUT_SHARE, VerdictCode
from client.archive.vocabulary import CT_STORAGES, LOCALIZER_WORDS
from common.study import CohortSettings

MAXIMUM_SLICES = 4096
MAXIMUM_EDGE_PIXELS = 2048
MAXIMUM_VOXELS = 600_000_000

AIR_LOW_HU = (-1150.0, -800.0)
DENSE_HIGH_HU = 100.0
SKULL_SHARE = 0.7
BRAIN_SEEN_SHARE = 0.9
BRAIN_LIKE_SHARE = 0.7
BRAIN_MEDIAN_HU = (0.0, 80.0)
EMPTY_SKULL_HU = -150.0
LARGEST_RESIDUAL_HU = 220.0


def judge_headers(series: Series, limits: CohortSettings) -> Plan | VerdictCode:
    """The slices to decode, or the first reason in the order of :class:`VerdictCode` why none can be."""
    if series.unreadable:
        return VerdictCode.UNREADABLE
    images = [header for header in series.slices if header.modality == "CT" or header.sop_class in CT_STORAGES]
    if not images:
        return VerdictCode.NOT_CT
    images = [header for header in images if not _is_localizer_or_derived(header)]
    if not images:
        return VerdictCode.LOCALIZER_OR_DERIVED
    return _unusable(images, limits) or plan_slices(images, limits)


def judge_scale(stack: SliceStack) -> VerdictCode:
    """``HU_IMPLAUSIBLE`` unless the darkest values are air and the brightest are denser than water.

    Catches values stored without their offset of 1024, the commonest fault of converted archives.
    """
    air = AIR_LOW_HU[0] <= stack.raw_low_hu <= AIR_LOW_HU[1]
    return VerdictCode.ACCEPTED if air and stack.raw_high_hu > DENSE_HIGH_HU else VerdictCode.HU_IMPLAUSIBLE


def judge_alignment(alignment: Alignment, cut_share: float = 0.0) -> VerdictCode:
    """``ACCEPTED``, or why what was aligned is no whole head: skull, field of view, extent, contents, then fit.

    A phantom that has skull, brain and face in true HU passes: content cannot tell it from a patient.

    Args:
        alignment: how the head lies.
        cut_share: share of the head's slices in which it is cut by the field of view.
    """
    if alignment.skull_share < SKULL_SHARE:
        return VerdictCode.NOT_A_HEAD
    if cut_share > LARGEST_CUT_SHARE:
        return VerdictCode.FIELD_OF_VIEW_CUT
    if alignment.brain_seen_share < BRAIN_SEEN_SHARE:
        return VerdictCode.INCOMPLETE_HEAD
    if alignment.brain_median_hu < EMPTY_SKULL_HU:
        return VerdictCode.NOT_A_HEAD
    if not BRAIN_MEDIAN_HU[0] <= alignment.brain_median_hu <= BRAIN_MEDIAN_HU[1]:
        return VerdictCode.HU_IMPLAUSIBLE
    if alignment.brain_like_share < BRAIN_LIKE_SHARE:
        return VerdictCode.NOT_A_HEAD
    return VerdictCode.ACCEPTED if alignment.residual_hu <= LARGEST_RESIDUAL_HU else VerdictCode.NOT_ALIGNED


def _is_localizer_or_derived(header: SliceHeader) -> bool:
    words = header.image_type
    derived = words[:1] == ("DERIVED",) or words[1:2] == ("SECONDARY",)
    return derived or header.sop_class not in CT_STORAGES or bool(LOCALIZER_WORDS.intersection(words))


def _unusable(images: list[SliceHeader], limits: CohortSettings) -> VerdictCode | None:
    """What keeps single images from being decoded, or from being used in this study."""
    if any(header.frames > 1 for header in images):
        return VerdictCode.MULTI_FRAME
    if limits.contrast == "none" and any(header.contrast for header in images):
        return VerdictCode.CONTRAST_ENHANCED
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
