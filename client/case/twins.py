"""Whether slices that headers put at one place are copies: their pixels must say the same, however they are coded."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.archive import Plan, SliceHeader
from client.dicom import Fault, Frame, Reader, shared_reader

_SAME_HU = 1e-3


def are_copies(plan: Plan, reader: Reader | None = None) -> bool:
    """Whether every slice of a plan that has a twin has the same HU as its twin; False if one cannot be read.

    Args:
        plan: slices with their twins.
        reader: reads the pixels; by default this thread's.
    """
    slices = [header for pair in plan.twins for header in pair]
    wanted = (Frame(one.path, one.rows, one.columns, one.frame, one.size_bytes) for one in slices)
    with closing((reader or shared_reader()).frames(wanted)) as frames:
        values = (_hu(header, stored) for header, stored in zip(slices, frames, strict=True))
        return all(_are_same(first, next(values)) for first in values)


def _hu(header: SliceHeader, stored: NDArray[Any] | Fault) -> NDArray[np.float64] | None:
    if isinstance(stored, Fault) or header.slope is None or header.intercept is None:
        return None
    hu: NDArray[np.float64] = stored * np.float64(header.slope) + header.intercept
    return hu


def _are_same(first: NDArray[np.float64] | None, second: NDArray[np.float64] | None) -> bool:
    return first is not None and second is not None and float(np.abs(first - second).max()) <= _SAME_HU
