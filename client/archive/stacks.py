"""One series, several scans: parted into stacks of slices that belong together, each to be judged by itself.

First by what slices must share to stack at all: study, frame of reference, size, spacing and orientation, within a
tolerance in millimetres at the image's edge. Then, where they cover the same places, by acquisition: number, time and
contrast; by sweeps, where numbers or times run through the same places again; and by steps that alternate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from client.archive.slice_header import SliceHeader

SAME_POSITION_MM: Final = 0.05
SPACING_AT_EDGE_MM: Final = 0.1
TURN_AT_EDGE_MM: Final = 1.0
# Blocks of one scan lie side by side: no further apart than a few slices, and over each other by less than half.
NEAR_STEPS: Final = 2.5
COVERED_SHARE: Final = 0.5
MOST_GROUPS: Final = 1024
MOST_SWEEPS: Final = 64
SHORTEST_SWEEP: Final = 5
ALTERNATING_SHARE: Final = 0.1

Floats = NDArray[np.float64]
Stack = list[SliceHeader]


def alike(images: Iterable[SliceHeader]) -> list[Stack]:
    """Slices grouped by what they must share to stack, the largest group first.

    Args:
        images: slices with geometry.
    """
    exact: dict[tuple[Any, ...], Stack] = defaultdict(list)
    for header in images:
        size = header.rows, header.columns, header.study, header.frame_of_reference
        exact[(*size, header.pixel_spacing_mm, header.orientation)].append(header)
    if len(exact) == 1:
        return list(exact.values())
    groups = sorted(exact.values(), key=len, reverse=True)
    if len({key[3] for key in exact}) > len(groups) / 2 and len(groups) > 2:
        # Some anonymisers give each file a frame of reference of its own.
        groups = [[header._replace(frame_of_reference="") for header in group] for group in groups]
    stacks: list[Stack] = []
    left = np.arange(len(groups))
    spacings = np.array([group[0].pixel_spacing_mm for group in groups])
    turns = np.array([group[0].orientation for group in groups]).reshape(-1, 2, 3)
    names = np.array([_fixed(group[0]) for group in groups], dtype=object)
    while left.size:
        first = groups[left[0]][0]
        pixels = np.array([first.rows, first.columns]) / 2
        wider = np.abs(spacings[left] - spacings[left[0]]) @ np.diag(pixels)
        reach = np.linalg.norm(pixels * spacings[left[0]])
        turned = np.linalg.norm(turns[left] - turns[left[0]], axis=2).max(axis=1) * reach
        fits = (wider.max(axis=1) <= SPACING_AT_EDGE_MM) & (turned <= TURN_AT_EDGE_MM)
        fits &= (names[left] == names[left[0]]).all(axis=1)
        stacks.append([header for index in left[fits] for header in groups[index]])
        left = left[~fits]
    return sorted(stacks, key=len, reverse=True)


def acquisitions(stack: Stack) -> list[Stack]:
    """A group of slices that are alike parted into scans; itself if nothing says that it holds several."""
    places = along_normal(stack)
    scans = [
        block[sweep]
        for block in _blocks(stack, places)
        for sweep in _sweeps([stack[index] for index in block], places[block])
    ]
    parts = [part for scan in scans for part in _alternating([stack[index] for index in scan], places[scan])]
    return sorted(parts, key=len, reverse=True)


def along_normal(stack: Sequence[SliceHeader]) -> Floats:
    """(slice,), place of each slice along the first one's normal, mm."""
    turn = stack[0].orientation
    origins = np.array([header.position for header in stack])
    (a, b, c), (d, e, f) = turn[:3], turn[3:]
    places: Floats = origins @ np.array([b * f - c * e, c * d - a * f, a * e - b * d])
    return places


def _fixed(header: SliceHeader) -> tuple[int, int, str, str]:
    return header.rows, header.columns, header.study, header.frame_of_reference


def _blocks(stack: Stack, places: Floats) -> list[NDArray[np.int64]]:
    """Which slices each scan has, by acquisition number, time and contrast where these cover the same places."""
    whole = [np.arange(len(stack))]
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for key in (_acquired, _numbered):
        groups.clear()
        for index, header in enumerate(stack):
            groups[key(header)].append(index)
        if len(groups) <= MOST_GROUPS:
            break
    if not 1 < len(groups) <= MOST_GROUPS:
        return whole
    members = [np.array(groups[name]) for name in sorted(groups)]
    spans = np.array([(places[member].min(), places[member].max()) for member in members])
    near_mm = NEAR_STEPS * _step_mm(stack, places)
    scans: list[list[int]] = []
    for group, span in enumerate(spans):
        for scan in scans:
            if _continues(spans[scan], span[None], near_mm):
                scan.append(group)
                break
        else:
            scans.append([group])
    return [np.concatenate([members[group] for group in scan]) for scan in _joined(scans, spans, near_mm)]


def _acquired(header: SliceHeader) -> tuple[Any, ...]:
    return (-1.0 if header.acquired_s is None else header.acquired_s, *_numbered(header))


def _numbered(header: SliceHeader) -> tuple[Any, ...]:
    return -1 if header.acquisition is None else header.acquisition, header.contrast


def _step_mm(stack: Stack, places: Floats) -> float:
    """How far slices lie apart, or how thick they are if that is more."""
    steps = np.diff(np.sort(places))
    apart = steps[steps > SAME_POSITION_MM]
    thickness = max(header.thickness_mm or 0.0 for header in stack)
    return max(float(np.median(apart)) if apart.size else 0.0, thickness)


def _joined(scans: list[list[int]], spans: Floats, near_mm: float) -> list[list[int]]:
    """Scans of which none continues another: blocks need not come in the order in which they lie."""
    if len(scans) > MOST_SWEEPS:
        return scans
    joined: list[list[int]] = []
    for scan in sorted(scans, key=lambda scan: float(spans[scan].min())):
        for other in joined:
            if _continues(spans[other], spans[scan], near_mm):
                other.extend(scan)
                break
        else:
            joined.append(list(scan))
    return joined


def _continues(spans: Floats, others: Floats, near_mm: float) -> bool:
    """Whether blocks lie beside those of a scan, and over none of them."""
    low, high = spans[:, None, 0], spans[:, None, 1]
    gaps = np.maximum(low - others[:, 1], others[:, 0] - high)
    shorter = np.minimum(high - low, others[:, 1] - others[:, 0])
    return bool(gaps.min() <= near_mm and not (SAME_POSITION_MM - gaps > COVERED_SHARE * shorter).any())


def _sweeps(stack: Stack, places: Floats) -> list[NDArray[np.int64]]:
    """Which slices each sweep has, if times or numbers run through the same places more than once."""
    whole = [np.arange(len(stack))]
    if len(stack) < 2 * SHORTEST_SWEEP:
        return whole
    for keys in ([header.acquired_s for header in stack], [header.number for header in stack]):
        if None in keys or len(set(keys)) < len(keys):
            continue
        order = np.argsort(np.array(keys, dtype=float))
        along = places[order]
        direction = 1.0 if float(np.median(np.diff(along))) >= 0 else -1.0
        # A new sweep begins where the next slice lies back by more than half of what is covered since the last began.
        starts, first = [0], along[0]
        for index in range(1, len(along)):
            back = (along[index - 1] - along[index]) * direction
            if back > SAME_POSITION_MM and back > COVERED_SHARE * abs(along[index - 1] - first):
                starts.append(index)
                first = along[index]
        parts = np.split(order, starts[1:])
        if 1 < len(parts) <= MOST_SWEEPS and min(map(len, parts)) >= SHORTEST_SWEEP:
            return parts
    return whole


def _alternating(stack: Stack, places: Floats) -> list[Stack]:
    """The two combs of a stack whose steps are alternately short and long throughout; else itself."""
    order = np.argsort(places, kind="stable")
    steps = np.diff(places[order])
    if len(steps) < 4 * SHORTEST_SWEEP or steps.min() <= SAME_POSITION_MM:
        return [stack]
    odd, even = steps[::2], steps[1::2]
    apart = abs(float(np.median(odd) - np.median(even)))
    spread = max(float(np.ptp(odd)), float(np.ptp(even)))
    if apart <= ALTERNATING_SHARE * float(steps.mean()) or spread >= apart / 2:
        return [stack]
    return [[stack[index] for index in order[start::2]] for start in (0, 1)]
