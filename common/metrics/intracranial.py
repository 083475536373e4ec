"""What is shown inside the skull, where an even grey scores well by every measure of the whole head.

All of it is of the truth's own region, :func:`common.metrics.regions.deep_brain` but for inventions, with both volumes
clipped to :data:`SOFT_HU` and smoothed by a Gaussian of :data:`SMOOTHING_MM`, so that noise counts little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from scipy import ndimage

from common.metrics.regions import SOFT_HU, deep_brain, within_skull

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SMOOTHING_MM = 3.6
CSF_HU = 20.0
# Beside fluid is what lies this far from it, so that partial volumes count on neither side.
BESIDE_MM = (3.6, 7.2)
LEAST_CONTRAST_HU = 3.0
# An invention: so far off where the truth varies by no more than so much within this distance, in one piece.
INVENTED_HU, EVEN_SD_HU, EVEN_MM = 25.0, 8.0, 3.6
LEAST_INVENTION_CM3 = 0.5
FEWEST_VOXELS = 50


@final
@dataclass(frozen=True)
class IntracranialMetrics:
    """What a prediction shows inside the skull; ``None`` where the truth has too little there to tell.

    Attributes:
        correlation: Pearson's, of prediction and truth.
        slope: covariance of prediction and truth over the truth's variance: 0 is an even grey, 1 the full contrast.
        csf_contrast: contrast of fluid (truth below 20 HU) to what lies beside it, relative to the truth's own.
        ventricle_dice: overlap of the voxels below 20 HU.
        inventions_cm3: volume of pieces of at least 0.5 cm³ that differ from the middle of the brain by over 25 HU more
            or other than an even truth does.
    """

    correlation: float | None
    slope: float | None
    csf_contrast: float | None
    ventricle_dice: float | None
    inventions_cm3: float | None


def intracranial_metrics(truth_hu: Tensor, predicted_hu: Tensor, voxel_mm: float) -> IntracranialMetrics:
    """All of them for one case.

    Args:
        truth_hu: (z, y, x), HU, indices growing towards superior, posterior and left.
        predicted_hu: the same shape.
        voxel_mm: edge of a voxel.
    """
    truth, predicted = (volume.double().cpu().numpy() for volume in (truth_hu, predicted_hu))
    region = deep_brain(truth, voxel_mm)
    inventions = _inventions_cm3(truth, predicted, within_skull(truth, voxel_mm), voxel_mm)
    if int(region.sum()) < FEWEST_VOXELS:
        return IntracranialMetrics(None, None, None, None, inventions)
    smooth = [_smoothed(volume, voxel_mm) for volume in (truth, predicted)]
    correlation, slope = _agreement(smooth[0][region], smooth[1][region])
    return IntracranialMetrics(
        correlation=correlation,
        slope=slope,
        csf_contrast=_csf_contrast(smooth[0], smooth[1], region, voxel_mm),
        ventricle_dice=_dice(smooth[0][region] < CSF_HU, smooth[1][region] < CSF_HU),
        inventions_cm3=inventions,
    )


def _smoothed(volume: NDArray[np.float64], voxel_mm: float) -> NDArray[np.float64]:
    clipped = np.clip(volume, *SOFT_HU)
    smooth: NDArray[np.float64] = ndimage.gaussian_filter(clipped, SMOOTHING_MM / voxel_mm, mode="nearest")
    return smooth


def _agreement(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Correlation, 0 for an even prediction, and slope."""
    t, p = truth - truth.mean(), predicted - predicted.mean()
    if not t.any():
        return None, None
    slope = float(t @ p / (t @ t))
    spread = float(np.sqrt((t @ t) * (p @ p)))
    return (float(t @ p) / spread if spread > 0 else 0.0), slope


def _csf_contrast(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], region: NDArray[np.bool_], voxel_mm: float
) -> float | None:
    fluid = region & (truth < CSF_HU)
    if not fluid.any():
        return None
    away_mm = ndimage.distance_transform_edt(~fluid) * voxel_mm
    near_mm, far_mm = BESIDE_MM
    # Half a voxel of tolerance: distances between voxel centres come in steps.
    beside = region & ~fluid & (away_mm > near_mm - 0.5 * voxel_mm) & (away_mm <= far_mm + 0.1)
    if not beside.any():
        return None
    true_hu, shown_hu = (float(volume[fluid].mean() - volume[beside].mean()) for volume in (truth, predicted))
    return shown_hu / true_hu if true_hu <= -LEAST_CONTRAST_HU else None


def _dice(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float | None:
    if not truth.any():
        return None
    return 2 * int((truth & predicted).sum()) / int(truth.sum() + predicted.sum())


def _inventions_cm3(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], region: NDArray[np.bool_], voxel_mm: float
) -> float | None:
    if int(region.sum()) < FEWEST_VOXELS:
        return None
    edge = 2 * max(1, round(EVEN_MM / voxel_mm)) + 1
    mean, square = (ndimage.uniform_filter(power, edge, mode="nearest") for power in (truth, truth * truth))
    even = np.sqrt(np.maximum(square - mean * mean, 0.0)) <= EVEN_SD_HU
    # A scale that is off everywhere, as of an old scanner, invents nothing, and what is left out is not invented.
    shown, there = (volume - np.median(volume[region]) for volume in (predicted, truth))
    invented = (np.abs(shown - there) > INVENTED_HU) & (np.abs(shown) > np.abs(there))
    pieces, count = ndimage.label(region & even & invented)
    sizes_cm3 = np.bincount(pieces.ravel(), minlength=count + 1)[1:] * (voxel_mm / 10) ** 3
    return float(sizes_cm3[sizes_cm3 >= LEAST_INVENTION_CM3].sum())
