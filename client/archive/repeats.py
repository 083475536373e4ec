"""Slices of one stack at one place: copies that pixels must prove, and strays that watched one place over time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client.archive.slice_header import SliceHeader
from client.archive.stacks import SAME_POSITION_MM
from client.archive.verdict_codes import VerdictCode

# Bolus tracking and test injections look at one place, again and again; seldom at a second one.
WATCHED_TIMES: Final = 3
WATCHED_PLACES: Final = 2
SHORTEST_RUN: Final = 5
WIDEST_STEP: Final = 1.6

Twins = tuple[tuple[SliceHeader, SliceHeader], ...]


def without_copies(images: Iterable[SliceHeader]) -> list[SliceHeader]:
    """One header per slice: the same file found twice counts once."""
    kept: dict[object, SliceHeader] = {}
    for header in images:
        kept.setdefault((header.instance, header.frame, header.size_bytes, header.position), header)
    return list(kept.values())


def without_watched(images: list[SliceHeader], places: NDArray[np.float64]) -> list[SliceHeader]:
    """Slices along the normal without those of a place that was watched over time while the rest was scanned once.

    Of a place that the stack needs, the one slice stays that is like its neighbours and numbered between them.
    """
    if len(places) < 2 or np.diff(places).min() >= SAME_POSITION_MM:
        return images
    groups = np.split(np.arange(len(images)), np.flatnonzero(np.diff(places) >= SAME_POSITION_MM) + 1)
    watched = [group for group in groups if len(group) >= WATCHED_TIMES]
    repeated = sum(len(group) > 1 for group in groups)
    if not watched or repeated > WATCHED_PLACES or len(groups) < 2 * SHORTEST_RUN:
        return images
    dropped: set[int] = set()
    for group in watched:
        left = np.delete(places, group)
        steps = np.diff(left[np.concatenate([[True], np.diff(left) >= SAME_POSITION_MM])])
        needed = steps.max() > WIDEST_STEP * np.median(steps)
        own = [index for index in group if _fits(images, index, group)] if needed else []
        if not needed or len(own) == 1:
            dropped.update(int(index) for index in group if index not in own)
    return [header for index, header in enumerate(images) if index not in dropped]


def twins_of(images: Sequence[SliceHeader], steps: NDArray[np.float64]) -> tuple[list[SliceHeader], Twins, VerdictCode]:
    """One slice a place, those that must turn out to be its copies, and the verdict if one does not."""
    if steps.min(initial=SAME_POSITION_MM) >= SAME_POSITION_MM:
        return list(images), (), VerdictCode.REPEATED_ACQUISITIONS
    starts = [0, *(np.flatnonzero(steps >= SAME_POSITION_MM) + 1).tolist(), len(images)]
    groups = [
        sorted(images[first:last], key=lambda header: (header.number is None, header.number or 0, header.instance))
        for first, last in itertools.pairwise(starts)
    ]
    twins = tuple((group[0], other) for group in groups for other in group[1:])
    everywhere = min(map(len, groups)) > 1
    refuted = VerdictCode.REPEATED_ACQUISITIONS if everywhere else VerdictCode.DUPLICATE_SLICES
    return [group[0] for group in groups], twins, refuted


def has_duplicate_numbers(images: Sequence[SliceHeader]) -> bool:
    """Whether slices at different places carry one identifier, or one number without blocks that explain it.

    Frames are numbered within their object; numbers that are all the same number nothing. Blocks are acquisitions, or
    runs along the normal in which numbers rise or fall throughout.

    Args:
        images: ascending along the normal, each place once.
    """
    if max(Counter((header.instance, header.frame) for header in images).values()) > 1:
        return True
    objects = Counter(header.instance for header in images)
    numbered = [header for header in images if header.number is not None and objects[header.instance] == 1]
    numbers = Counter(header.number for header in numbered)
    if len(numbers) < 2 or max(numbers.values()) == 1:
        return False
    by_block = Counter((header.number, header.acquisition) for header in numbered)
    blocks_known = all(header.acquisition is not None for header in numbered if numbers[header.number] > 1)
    return not (blocks_known and max(by_block.values()) == 1) and not _runs(numbered)


def _runs(images: Sequence[SliceHeader]) -> bool:
    """Whether numbers rise, or fall, along the normal in a few runs of many slices each."""
    steps = np.diff([header.number or 0 for header in images])
    direction = 1 if (steps > 0).sum() >= (steps < 0).sum() else -1
    ends = np.flatnonzero(steps * direction <= 0) + 1
    return int(np.diff([0, *ends, len(images)]).min()) >= SHORTEST_RUN


def _fits(images: Sequence[SliceHeader], index: int, group: NDArray[np.int64]) -> bool:
    """Whether one slice of a watched place is like the slices before and behind that place, and numbered between."""
    beside = [images[place] for place in (int(group[0]) - 1, int(group[-1]) + 1) if 0 <= place < len(images)]
    own = images[index]
    numbers = [header.number for header in beside if header.number is not None]
    like = all((own.thickness_mm, own.kvp) == (header.thickness_mm, header.kvp) for header in beside)
    if not like or own.number is None or not numbers:
        return False
    return any(abs(own.number - number) <= 1 for number in numbers) and own.acquisition == beside[0].acquisition
