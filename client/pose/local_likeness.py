"""How alike film and DRR are: correlation within small windows, which neither gain nor scatter changes much.

Pixels count where the film is exposed and the DRR's ray met nothing that nobody has scanned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from client.pose.posed_drr import UNKNOWN

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Flat = NDArray[np.float64]

WINDOW: Final = 9
# A window counts if so much of it is exposed.
LEAST_SHARE: Final = 0.6
_LEAST_KNOWN: Final = 1 / 3
# What is taken for the likeness where the DRR does not know what it shows: as one person's is to another's.
_UNKNOWN_LIKENESS: Final = 0.75
# Variance of line integrals that is taken for noise: it damps windows in which there is nothing.
NOISE_VARIANCE: Final = 2.5e-4
# A window of which the film's variance is so much counts half.
STRUCTURE_VARIANCE: Final = 1e-3


@final
class FilmWindows:
    """A film's windows, their means and variances worked out once.

    Args:
        integrals: (row, column) line integrals.
        exposed: (row, column), pixels that count.
    """

    def __init__(self, integrals: Image, exposed: Mask) -> None:
        self._integrals = integrals.astype(np.float64)
        self._exposed = exposed
        self._all = _Windows(self._integrals, exposed)

    def likeness(self, drr: Image) -> float:
        """Mean correlation with a DRR of the same shape over windows in which the film has structure, -1 to 1.

        0 if less than a third of the film's structure is where the DRR knows what it shows.
        """
        return self._known(drr)[0]

    def evidence(self, drr: Image) -> float:
        """The likeness for a search: what the DRR does not know counts as roughly alike, so hiding it gains little."""
        likeness, share = self._known(drr)
        return share * likeness + (1 - share) * _UNKNOWN_LIKENESS

    def _known(self, drr: Image) -> tuple[float, float]:
        """The likeness, and over which share of the film's structure."""
        seen = self._seen(drr < UNKNOWN)
        share = min(seen.total / max(self._all.total, 1e-9), 1.0)
        if share < _LEAST_KNOWN:
            return 0.0, share
        return float(_likeness(np.minimum(drr, UNKNOWN).astype(np.float64), *seen.parts)), share

    def differences(self, drrs: Sequence[Image]) -> list[Flat]:
        """Film less each DRR, pixels as they lie within their windows: what a least-squares fit makes small.

        Args:
            drrs: of poses near each other; what counts is what all of them know.

        Returns:
            For each (pixel,), weighted by the film's structure.
        """
        seen = self._seen(np.logical_and.reduce([drr < UNKNOWN for drr in drrs]))
        normal = seen.normalised(self._integrals)
        return [(normal - seen.normalised(np.minimum(drr, UNKNOWN).astype(np.float64))).ravel() for drr in drrs]

    def _seen(self, known: Mask) -> _Windows:
        if known[self._exposed].all():
            return self._all
        return _Windows(self._integrals, self._exposed & known)


@final
class _Windows:
    """Windows of a film over the pixels that count."""

    def __init__(self, integrals: Flat, counted: Mask) -> None:
        self._counted = counted.astype(np.float64)
        self._film = integrals * self._counted
        self._count = np.maximum(_sums(self._counted), 1.0)
        self._mean, self._variance = self._moments(self._film)
        # What the film shows decides what counts: a window without structure says nothing of a pose.
        structure = self._variance / (self._variance + STRUCTURE_VARIANCE)
        self._weight = np.where(counted & (self._count >= LEAST_SHARE * WINDOW**2), structure, 0.0)
        self.total = float(self._weight.sum())

    @property
    def parts(self) -> tuple[Flat, ...]:
        """Pixels that count, pixels a window, then the film, its means and variances, and the windows' weights."""
        return self._counted, self._count, self._film, self._mean, self._variance, self._weight

    def normalised(self, image: Flat) -> Flat:
        """(row, column) of an image of the same shape: less the window's mean, over its SD, weighted."""
        masked = image * self._counted
        mean, variance = self._moments(masked)
        return np.asarray((masked - mean) * np.sqrt(self._weight / (variance + NOISE_VARIANCE)))

    def _moments(self, image: Flat) -> tuple[Flat, Flat]:
        mean = _sums(image) / self._count
        return mean, np.maximum(_sums(image**2) / self._count - mean**2, 0.0)


@njit(nogil=True, error_model="numpy", fastmath=True)  # type: ignore[untyped-decorator, unused-ignore]
def _sums(image: Any) -> Any:  # noqa: ANN401
    """Sums over the window about each pixel, cut at the image's edges, (row, column)."""
    rows, columns = image.shape
    half = WINDOW // 2
    across = np.zeros((rows, columns))
    for row in range(rows):
        total = 0.0
        for column in range(min(half, columns)):
            total += image[row, column]
        for column in range(columns):
            if column + half < columns:
                total += image[row, column + half]
            if column - half - 1 >= 0:
                total -= image[row, column - half - 1]
            across[row, column] = total
    sums = np.zeros((rows, columns))
    total_row = np.zeros(columns)
    for row in range(min(half, rows)):
        total_row += across[row]
    for row in range(rows):
        if row + half < rows:
            total_row += across[row + half]
        if row - half - 1 >= 0:
            total_row -= across[row - half - 1]
        sums[row] = total_row
    return sums


@njit(nogil=True, error_model="numpy", fastmath=True)  # type: ignore[untyped-decorator, unused-ignore]
def _likeness(drr: Any, exposed: Any, count: Any, film: Any, mean: Any, variance: Any, weight: Any) -> float:  # noqa: ANN401
    masked = drr * exposed
    ones, squares, products = _sums(masked), _sums(masked * masked), _sums(masked * film)
    total, weights = 0.0, 0.0
    for row in range(film.shape[0]):
        for column in range(film.shape[1]):
            w = weight[row, column]
            if w > 0.0:
                n = count[row, column]
                own = ones[row, column] / n
                spread = max(squares[row, column] / n - own * own, 0.0)
                shared = products[row, column] / n - own * mean[row, column]
                total += w * shared / math.sqrt((spread + NOISE_VARIANCE) * (variance[row, column] + NOISE_VARIANCE))
                weights += w
    return total / max(weights, 1e-9)
