"""Pixels outside the field of view: what a slice holds there means nothing, whatever its value."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

HIGHEST_HU = 30_000.0
_TRUSTED_PADDING_HU = -900.0
# More values than this at the border within a stated range are noise, and no padding.
_MOST_VALUES = 16

Mask = NDArray[np.bool_]
Stated = tuple[int | None, int | None]


def padded(
    stored: NDArray[Any],
    slope: float = 1.0,
    intercept: float = 0.0,
    stated: Stated = (None, None),
) -> Iterator[tuple[float, Mask]]:
    """HU of values that mean nothing, and the pixels in which they do.

    Padding is what lies outside the inscribed circle where that is one value, the stated Pixel Padding Value and its
    range (0028,0120 and 0028,0121), and what exceeds 30,000 HU at the border. A value that could be tissue or metal is
    padding only as far as it reaches from the border without a gap: the reconstructed circle may be smaller than the
    image.

    Args:
        stored: (row, column), values as stored.
        slope, intercept: HU = slope * stored + intercept.
        stated: the padding value and the other end of its range, None where it is not stated.
    """
    ring, places = _outside_circle(stored.shape)
    outside = stored.take(places)
    reaching: set[float] = set()
    if outside.size and bool((outside == outside[0]).all()):
        value = outside[0].item()
        if value * slope + intercept <= _TRUSTED_PADDING_HU:
            yield value * slope + intercept, ring
        else:
            reaching.add(value)
    if stated[0] is not None:
        low, high = _ends(stated[0], stated[1], stored.dtype)
        highest_hu = max(low * slope, high * slope) + intercept
        if highest_hu <= _TRUSTED_PADDING_HU:
            yield highest_hu, stored == low if low == high else (stored >= low) & (stored <= high)
        else:
            reaching |= _at_border(stored, low, high)
    # Half a HU beyond: the highest itself is metal.
    impossible = (HIGHEST_HU + 0.5 - intercept) / slope
    reaching |= _at_border(stored, impossible, np.inf) if slope > 0 else _at_border(stored, -np.inf, impossible)
    if reaching:
        yield HIGHEST_HU, _reaching_border(np.isin(stored, list(reaching)))


def _ends(value: int, limit: int | None, kind: np.dtype[Any]) -> tuple[int, int]:
    """The stated range in the sign that the pixels have: some writers use the other for padding."""
    ends = [value, value if limit is None else limit]
    if kind == np.int16:
        ends = [end - 65536 if end > 32767 else end for end in ends]
    elif kind == np.uint16:
        ends = [end + 65536 if end < 0 else end for end in ends]
    return min(ends), max(ends)


def _at_border(stored: NDArray[Any], low: float, high: float) -> set[float]:
    """Values in a range that the outermost pixels hold; none if they are too many to be padding."""
    edges = stored[0], stored[-1], stored[:, 0], stored[:, -1]
    if all(edge.max() < low or edge.min() > high for edge in edges):
        return set()
    border = np.concatenate(edges)
    found = np.unique(border[(border >= low) & (border <= high)])
    return {value.item() for value in found} if len(found) <= _MOST_VALUES else set()


def _reaching_border(mask: Mask) -> Mask:
    """The parts of a mask that reach the border."""
    labels, count = ndimage.label(mask)
    reached = np.zeros(count + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        reached[edge] = True
    reached[0] = False
    parts: Mask = reached[labels]
    return parts


@lru_cache(maxsize=8)
def _outside_circle(shape: tuple[int, ...]) -> tuple[Mask, NDArray[np.int64]]:
    """The pixels outside the inscribed circle, as a mask and as places in the flattened slice."""
    rows, columns = (np.arange(length) - (length - 1) / 2 for length in shape)
    radius = min(shape) / 2 + 1
    outside: Mask = rows[:, None] ** 2 + columns[None, :] ** 2 > radius**2
    return outside, np.flatnonzero(outside)
