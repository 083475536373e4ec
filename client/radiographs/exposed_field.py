"""Where a film was exposed: inside collimator and shutter as stated, and as straight edges of the image show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.header import Aperture, FilmHeader
from client.radiographs.film_verdicts import FilmRefused, FilmVerdict

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Of the logarithm of exposure, over two cells: far more than any outline of a head has.
_EDGE_STEP: Final = 1.3
_EDGE_SHARE: Final = 0.3
_MARGIN_CELLS: Final = 2
_OUTER_SHARE: Final = 0.6


@final
@dataclass(frozen=True, slots=True)
class Field:
    """A rectangle of rows and columns, half open."""

    top: int
    bottom: int
    left: int
    right: int

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """(row, column), true inside."""
        inside = np.zeros(shape, dtype=bool)
        inside[self.top : self.bottom, self.left : self.right] = True
        return inside


def stated_field(header: FilmHeader) -> Mask:
    """(row, column) of the film, true where collimator and shutter are open; everywhere if nothing is stated."""
    shape = header.rows, header.columns
    return _opening(header.collimator, shape) & _opening(header.shutter, shape)


def shown_field(log_exposure: Image) -> Field:
    """The rectangle within straight edges beyond which nothing is exposed, less a margin; whole where there are none.

    Args:
        log_exposure: (row, column), coarse.

    Raises:
        FilmRefused: ``MULTIPLE_EXPOSURES`` if unexposed bands part the image.
    """
    return _field(log_exposure, _limits)


def framed_field(log_exposure: Image) -> Field:
    """The rectangle within straight edges of either direction, for images of which polarity is in question."""
    return _field(log_exposure, _frame)


def ring_excess(log_exposure: Image) -> float:
    """By how much the edge of the field, but for its lower part, is brighter than its middle."""
    field = framed_field(log_exposure)
    inside = log_exposure[field.top : field.bottom, field.left : field.right]
    rows, columns = inside.shape
    wide = max(1, min(rows, columns) // 40)
    # A head fills one side of the field at most, whichever way it is turned.
    sides = (inside[:wide], inside[-wide:], inside[:, :wide], inside[:, -wide:])
    middle = inside[rows // 3 : rows - rows // 3, columns // 3 : columns - columns // 3]
    return float(np.median([np.median(side) for side in sides]) - np.median(middle))


def _field(image: Image, limits: Callable[[Image], tuple[int, int]]) -> Field:
    """The rectangle within limits of rows and of columns, each sought once more within the other's."""
    rows, columns = image.shape
    found = Field(0, rows, 0, columns)
    for _ in range(2):
        top, bottom = limits(image[:, found.left : found.right])
        left, right = limits(image[top:bottom].T)
        found = Field(top, bottom, left, right)
    return found


def _edges(image: Image) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each row: whether a straight edge lies there beyond which it is brighter, and one beyond which darker."""
    step = np.zeros_like(image)
    step[1:-1] = image[2:] - image[:-2]
    brighter, darker = ((sign * step > _EDGE_STEP).mean(axis=1) >= _EDGE_SHARE for sign in (1, -1))
    return brighter, darker


def _limits(image: Image) -> tuple[int, int]:
    rows = len(image)
    brighter, darker = (np.flatnonzero(edges) for edges in _edges(image))
    starts = brighter[brighter < _OUTER_SHARE * rows]
    ends = darker[darker > (1 - _OUTER_SHARE) * rows]
    # Light, dark, light: what lies between is no part of either exposure.
    if any(first + _MARGIN_CELLS < second for first in darker for second in brighter):
        raise FilmRefused(FilmVerdict.MULTIPLE_EXPOSURES)
    return _between(starts, ends, rows)


def _frame(image: Image) -> tuple[int, int]:
    rows = len(image)
    brighter, darker = _edges(image)
    found = np.flatnonzero(brighter | darker)
    return _between(found[found < rows // 3], found[found > rows - rows // 3], rows)


def _between(upper: NDArray[np.intp], lower: NDArray[np.intp], rows: int) -> tuple[int, int]:
    """First row and end between the innermost edges, less a margin; all rows if too few are left."""
    top = int(upper.max()) + _MARGIN_CELLS if len(upper) else 0
    bottom = int(lower.min()) - _MARGIN_CELLS + 1 if len(lower) else rows
    return (top, bottom) if bottom - top >= rows // 4 else (0, rows)


def _opening(aperture: Aperture, shape: tuple[int, int]) -> Mask:
    open_field = np.ones(shape, dtype=bool)
    rows, columns = (np.arange(1, edge + 1) for edge in shape)
    if "RECTANGULAR" in aperture.shapes and len(aperture.edges) == 4:
        left, right, upper, lower = aperture.edges
        across, down = (columns > left) & (columns < right), (rows > upper) & (rows < lower)
        open_field &= down[:, None] & across[None, :]
    if "CIRCULAR" in aperture.shapes and len(aperture.centre) == 2 and aperture.radius:
        away = (rows[:, None] - aperture.centre[0]) ** 2 + (columns[None, :] - aperture.centre[1]) ** 2
        open_field &= away < aperture.radius**2
    if "POLYGONAL" in aperture.shapes and len(aperture.vertices) >= 6 and len(aperture.vertices) % 2 == 0:
        open_field &= _inside_polygon(np.reshape(aperture.vertices, (-1, 2)).astype(np.float64), rows, columns)
    # An opening that leaves next to nothing is a default that nobody filled in.
    return open_field if open_field.mean() > 0.05 else np.ones(shape, dtype=bool)


def _inside_polygon(corners: NDArray[np.float64], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> Mask:
    """Pixels inside by the even-odd rule."""
    inside = np.zeros((len(rows), len(columns)), dtype=bool)
    for (row, column), (next_row, next_column) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if row == next_row:
            continue
        crossed = (rows > min(row, next_row)) & (rows <= max(row, next_row))
        where = column + (rows - row) * (next_column - column) / (next_row - row)
        inside ^= crossed[:, None] & (columns[None, :] < where[:, None])
    return inside


def coarse(image: Image, block: int) -> Image:
    """Means over square blocks; what is left over at the lower and right edge counts to the last block."""
    if block == 1:
        return image
    rows, columns = (edge // block * block for edge in image.shape)
    parts = image[:rows, :columns].reshape(rows // block, block, columns // block, block)
    return np.asarray(parts.mean(axis=(1, 3)), dtype=np.float32)


def fine(mask: Mask, block: int, shape: tuple[int, int]) -> Mask:
    """A coarse mask in the film's own pixels."""
    if block == 1:
        return mask
    large = np.repeat(np.repeat(mask, block, axis=0), block, axis=1)
    missing = [(0, max(0, edge - have)) for edge, have in zip(shape, large.shape, strict=True)]
    return np.asarray(np.pad(large, missing, mode="edge")[: shape[0], : shape[1]])


def nearest_exposed(image: Image, exposed: Mask) -> Image:
    """The image with every pixel outside the mask given the value of the nearest one inside.

    Args:
        image, exposed: (row, column); at least one pixel is exposed.
    """
    _, places = ndimage.distance_transform_edt(~exposed, return_indices=True)
    filled: Image = image[tuple(places)]
    return filled
