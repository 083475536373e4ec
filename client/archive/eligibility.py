"""Judges series by their headers alone: which slices to decode, or why none can be."""

from __future__ import annotations

from client.archive.discovery import Series
from client.archive.slice_header import SliceHeader
from client.archive.slice_plan import Plan, plan_slices
from client.archive.verdict_codes import VerdictCode
from client.archive.vocabulary import CT_STORAGES, LOCALIZER_WORDS
from common.study import CohortSettings

MAXIMUM_SLICES = 4096
MAXIMUM_EDGE_PIXELS = 2048
MAXIMUM_VOXELS = 600_000_000


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
