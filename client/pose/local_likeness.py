"""How alike film and DRR are: correlation within small windows, which neither gain nor scatter changes much."""

from __future__ import annotations

import math
from typing import Any, Final, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Flat = NDArray[np.float64]

WINDOW: Final = 9
# A window counts if so much of it is exposed.
LEAST_SHARE: Final = 0.6
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
        self._exposed = exposed.astype(np.float64)
        self._film = integrals.astype(np.float64) * self._exposed
        self._count = np.maximum(_sums(self._exposed), 1.0)
        self._mean, self._variance = self._moments(self._film)
        # What the film shows decides what counts: a window without structure says nothing of a pose.
        structure = self._variance / (self._variance + STRUCTURE_VARIANCE)
        self._weight = np.where(exposed & (self._count >= LEAST_SHARE * WINDOW**2), structure, 0.0)
        self._normal = self._normalised(self._film, self._mean, self._variance)

    def likeness(self, drr: Image) -> float:
        """Mean correlation with a DRR of the same shape over windows in which the film has structure, -1 to 1."""
        drr = drr.astype(np.float64)
        stated = self._film, self._mean, self._variance
        return float(_likeness(drr, self._exposed, self._count, *stated, self._weight))

    def differences(self, drr: Image) -> Flat:
        """Film less DRR, each pixel as it lies within its window: what a least-squares fit of the pose makes small.

        Returns:
            (pixel,), weighted by the film's structure.
        """
        masked = drr.astype(np.float64) * self._exposed
        return np.asarray((self._normal - self._normalised(masked, *self._moments(masked))).ravel())

    def _moments(self, image: Flat) -> tuple[Flat, Flat]:
        mean = _sums(image) / self._count
        return mean, np.maximum(_sums(image**2) / self._count - mean**2, 0.0)

    def _normalised(self, image: Flat, mean: Flat, variance: Flat) -> Flat:
        return np.asarray((image - mean) * np.sqrt(self._weight / (variance + NOISE_VARIANCE)))


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
