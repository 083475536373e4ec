"""How much slices alternate between two scans: then each is more like the one after the next than like the next.

Headers part what they tell apart; this is for stacks of which they tell nothing. Seen, as the median over the stack:
real and virtual heads 0.5 to 0.7; two heads, or one that moved by a pixel, 1.1 and more.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from client.archive import Plan
from client.dicom import Fault, Frame, Reader, shared_reader

MOST_UNLIKE: Final = 1.05
# Slices that overlap by less than this leave no room for a second scan between them.
THICK_FOR_STEP: Final = 1.3
_PLACES: Final = 5
_ENDS_SHARE: Final = 0.2
# Means over pixels, so that noise does not count as a difference.
_BLOCK: Final = 4
_CLIPPED_HU: Final = (-200.0, 1000.0)


def alternation(plan: Plan, reader: Reader | None = None) -> float:
    """How unlike neighbours are against the next but one, by a few triples; 0 where slices leave no room for a scan.

    Beyond ``MOST_UNLIKE`` slices of a plan are alternately of two scans.

    Args:
        plan: slices along the normal.
        reader: reads the pixels; by default this thread's.
    """
    thickness = [header.thickness_mm for header in plan.slices]
    if all(known is not None and known < THICK_FOR_STEP * plan.spacing_mm for known in thickness):
        return 0.0
    last = len(plan.slices) - 3
    starts = sorted({round(last * share) for share in np.linspace(_ENDS_SHARE, 1 - _ENDS_SHARE, _PLACES)})
    slices = [plan.slices[start + offset] for start in starts for offset in range(3)]
    wanted = (Frame(one.path, one.rows, one.columns, one.frame, one.size_bytes) for one in slices)
    planes: list[NDArray[np.float64]] = []
    with closing((reader or shared_reader()).frames(wanted)) as frames:
        for header, stored in zip(slices, frames, strict=True):
            if isinstance(stored, Fault) or header.slope is None or header.intercept is None:
                # Whoever decodes the stack finds it again, and says so.
                return 0.0
            planes.append(_coarse(stored * header.slope + header.intercept))
    unlike = [_unlike(planes[index : index + 3]) for index in range(0, len(planes), 3)]
    return float(np.median(unlike))


def _coarse(hu: NDArray[Any]) -> NDArray[np.float64]:
    rows, columns = (length // _BLOCK for length in hu.shape)
    kept = np.clip(hu[: rows * _BLOCK, : columns * _BLOCK], *_CLIPPED_HU)
    coarse: NDArray[np.float64] = kept.reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))
    return coarse


def _unlike(planes: list[NDArray[np.float64]]) -> float:
    """Mean difference of neighbours over that of the outer two; 0 where nothing differs."""
    first, middle, last = planes
    beside = (np.abs(first - middle).mean() + np.abs(middle - last).mean()) / 2
    apart = float(np.abs(first - last).mean())
    return float(beside) / apart if apart > 0 else 0.0
