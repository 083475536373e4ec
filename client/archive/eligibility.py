"""Judges series by their headers alone: which stacks of slices to decode, or why none can be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from client.archive.grouping import Series
from client.archive.slice_header import SliceHeader
from client.archive.slice_plan import MINIMUM_SLICES, Plan, plan_slices
from client.archive.stacks import acquisitions, alike
from client.archive.verdict_codes import VerdictCode
from client.archive.vocabulary import CONE_BEAM_STORAGES, CT_STORAGES, LOCALIZER_WORDS
from common.study import CohortSettings

MAXIMUM_SLICES = 4096
MAXIMUM_EDGE_PIXELS = 2048
MAXIMUM_VOXELS = 600_000_000
MOST_IMAGES = 4 * MAXIMUM_SLICES
# Of a series that holds more scans than this, the best of them are tried.
MOST_STACKS = 4
COPIES = "copies"
SAME_SPACING = 1e-3


@final
@dataclass(frozen=True)
class HeaderVerdict:
    """What headers say of a series.

    Attributes:
        plans: the stacks that can be decoded, best first: finest spacing, then most slices, then without contrast.
        code: why none can be; ``ACCEPTED`` if some can.
    """

    plans: tuple[Plan, ...]
    code: VerdictCode


def judge_headers(series: Series, limits: CohortSettings) -> Plan | VerdictCode:
    """The best stack of a series that headers alone allow, or why they allow none."""
    judged = judge_series(series, limits)
    sure = [plan for plan in judged.plans if not plan.twins]
    if sure:
        return sure[0]
    return judged.plans[0].refuted if judged.plans else judged.code


def judge_series(series: Series, limits: CohortSettings) -> HeaderVerdict:
    """The stacks of a series to decode, or the first reason in the order of :class:`VerdictCode` why there are none."""
    images, aside = _ct_images(series)
    if isinstance(images, VerdictCode):
        return HeaderVerdict((), images)
    placed = [header for header in images if header.has_geometry]
    groups = alike(placed) if placed else []
    found: list[Plan] = []
    refused: list[VerdictCode] = []
    for group in groups:
        for stack in acquisitions(group) if len(group) <= MOST_IMAGES else [group]:
            plan = _unusable(stack, limits) or plan_slices(stack, limits)
            if isinstance(plan, Plan):
                found.append(replace(plan, set_aside=_set_aside(plan, images, group, aside)))
            else:
                refused.append(plan)
    if not found:
        return HeaderVerdict((), _reason(images, groups, refused, limits))
    return HeaderVerdict(tuple(sorted(found, key=_preference)[:MOST_STACKS]), VerdictCode.ACCEPTED)


def _ct_images(series: Series) -> tuple[list[SliceHeader] | VerdictCode, Counter[str]]:
    """The images of a series that may be a scan, or why there are none, and what was set aside by why."""
    aside: Counter[str] = Counter()
    if series.unreadable:
        return VerdictCode.UNREADABLE, aside
    if series.packed:
        return VerdictCode.ARCHIVE_IN_ARCHIVE, aside
    images = [header for header in series.slices if header.modality == "CT" or header.sop_class in CT_STORAGES]
    if not any(header.sop_class in CT_STORAGES for header in images) and any(
        header.sop_class in CONE_BEAM_STORAGES for header in series.slices
    ):
        return VerdictCode.CONE_BEAM, aside
    kept = images
    aside[VerdictCode.NOT_CT.value] = len(series.slices) - len(kept)
    if not kept:
        return VerdictCode.NOT_CT, aside
    for code, is_wrong in (
        (VerdictCode.LOCALIZER_OR_DERIVED, _is_localizer_or_derived),
        (VerdictCode.NOT_HU, _is_no_hu),
    ):
        left = [header for header in kept if not is_wrong(header)]
        # Too few for a head, beside more that were set aside, are the strays of a series of those.
        if len(left) < min(MINIMUM_SLICES, len(kept) - len(left)):
            return code, aside
        aside[code.value] = len(kept) - len(left)
        kept = left
    if series.others:
        return VerdictCode.MIXED_PATIENTS, aside
    return kept, aside


def _is_localizer_or_derived(header: SliceHeader) -> bool:
    return (
        header.computed or header.sop_class not in CT_STORAGES or bool(LOCALIZER_WORDS.intersection(header.image_type))
    )


def _is_no_hu(header: SliceHeader) -> bool:
    return not header.hounsfield


def _set_aside(
    plan: Plan, images: Collection[SliceHeader], group: Iterable[SliceHeader], aside: Mapping[str, int]
) -> dict[str, int]:
    """Images of a series that one of its stacks leaves out, by why."""
    counts = Counter(aside)
    if len(plan.slices) == len(images):
        return _counted(counts)
    used, twins, of_group = (
        set(map(_place, plan.slices)),
        {_place(twin) for _, twin in plan.twins},
        set(map(_place, group)),
    )
    known = {(header.instance, header.frame, header.position) for header in plan.slices}
    first = plan.slices[0]
    for header in images:
        place = _place(header)
        if place in used:
            continue
        if place in twins or (header.instance, header.frame, header.position) in known:
            counts[COPIES] += 1
        elif not header.has_geometry:
            counts[VerdictCode.NO_GEOMETRY.value] += 1
        elif place in of_group:
            counts[VerdictCode.REPEATED_ACQUISITIONS.value] += 1
        elif not _is_sized_like(header, first):
            counts[VerdictCode.MIXED_SIZE.value] += 1
        else:
            counts[VerdictCode.MIXED_ORIENTATION.value] += 1
    return _counted(counts)


def _place(header: SliceHeader) -> tuple[Path, str, int]:
    return header.folder, header.name, header.frame


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {why: count for why, count in sorted(counts.items()) if count}


def _is_sized_like(header: SliceHeader, other: SliceHeader) -> bool:
    same_size = (header.rows, header.columns) == (other.rows, other.columns)
    pairs = zip(header.pixel_spacing_mm, other.pixel_spacing_mm, strict=True)
    return same_size and all(math.isclose(a, b, rel_tol=SAME_SPACING) for a, b in pairs)


def _preference(plan: Plan) -> tuple[float, int, bool, float, int]:
    first = plan.slices[0]
    when = first.acquired_s or 0.0, first.acquisition or 0
    return round(plan.spacing_mm, 3), -len(plan.slices), first.contrast, *when


def _reason(
    images: list[SliceHeader], groups: list[list[SliceHeader]], refused: list[VerdictCode], limits: CohortSettings
) -> VerdictCode:
    """Why no stack of a series can be used: what its largest group lacks as a whole, if that is large enough."""
    largest = groups[0] if groups else []
    if len(largest) >= MINIMUM_SLICES:
        whole = _unusable(largest, limits) or plan_slices(largest, limits)
        if isinstance(whole, VerdictCode):
            return whole
        return whole.refuted if whole.twins else refused[0]
    unusable = _unusable(images, limits)
    if unusable is not None:
        return unusable
    if len(images) < MINIMUM_SLICES or len(groups) < 2:
        return VerdictCode.TOO_FEW_SLICES
    sizes = {header.matrix for header in images}
    return VerdictCode.MIXED_SIZE if len(sizes) > 1 and len(sizes) >= len(groups) else VerdictCode.MIXED_ORIENTATION


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
