"""Image metrics with pinned definitions, on HU volumes and the study's window.

Every value depends on the window: both volumes are clipped to it, and its width is the data range. Volumes are
(z, y, x) in HU, on any device and in any floating precision; sums are taken in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.metrics.intracranial import intracranial_metrics
from common.metrics.regions import BODY_HU, BONE_HU, BRAIN_HU, body_mask, enclosed_by_bone
from common.metrics.sharpness import gradient_ratio, spectrum_distance_db
from common.study import Window

HIGHEST_PSNR_DB = 100.0
SSIM_EDGE = 11
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03


@final
@dataclass(frozen=True)
class CaseMetrics:
    """Metrics of one case. ``None`` where the region is empty, e.g. no bone in the truth.

    Attributes:
        psnr_db, ssim, mae_hu: over the whole volume.
        psnr_body_db, mae_body_hu: inside :func:`body_mask` of the truth.
        mae_bone_hu: where the truth exceeds 300 HU.
        mae_brain_hu: inside the body mask where the truth lies in 0..80 HU; soft tissue of the scalp and neck in that
            range counts too.
        bone_dice: overlap of both volumes above 300 HU.
        cosine_similarity: see :func:`cosine_similarity`.
        ssim_body: mean of the SSIM map over the body mask.
        mae_intracranial_hu: as ``mae_brain_hu``, but only where bone of the truth encloses the voxel.
        reprojection: mean absolute difference of line integrals; None where none are given.
        gradient_ratio, spectrum_distance_db: see :mod:`common.metrics.sharpness`.
        brain_correlation, brain_slope, csf_contrast, ventricle_dice, inventions_cm3: what is shown inside the
            skull; see :class:`common.metrics.intracranial.IntracranialMetrics`.
    """

    psnr_db: float
    ssim: float
    mae_hu: float
    psnr_body_db: float | None
    mae_body_hu: float | None
    mae_bone_hu: float | None
    mae_brain_hu: float | None
    bone_dice: float | None
    cosine_similarity: float | None
    ssim_body: float | None = None
    mae_intracranial_hu: float | None = None
    reprojection: float | None = None
    gradient_ratio: float | None = None
    spectrum_distance_db: float | None = None
    brain_correlation: float | None = None
    brain_slope: float | None = None
    csf_contrast: float | None = None
    ventricle_dice: float | None = None
    inventions_cm3: float | None = None


def case_metrics(
    truth_hu: Tensor,
    predicted_hu: Tensor,
    window: Window,
    voxel_mm: float,
    integrals: tuple[Tensor, Tensor] | None = None,
) -> CaseMetrics:
    """All metrics of one case.

    Args:
        truth_hu: (z, y, x), HU.
        predicted_hu: (z, y, x), HU.
        window: the study's HU window.
        voxel_mm: edge of a voxel.
        integrals: line integrals of the case and of the prediction, of one shape.

    Raises:
        Refusal: ``IMAGE_INVALID`` if the volumes differ in shape, are not (z, y, x) or are not finite;
            ``GEOMETRY_INVALID`` if an edge is shorter than the SSIM kernel.
    """
    truth, predicted = _windowed(truth_hu, predicted_hu, window)
    similarity = _ssim_map(truth, predicted)
    body = body_mask(truth_hu)
    brain = body & (truth_hu >= BRAIN_HU[0]) & (truth_hu <= BRAIN_HU[1])
    error = (predicted - truth).double()
    inside = intracranial_metrics(truth_hu, predicted_hu, voxel_mm)
    return CaseMetrics(
        psnr_db=_psnr_db(error),
        ssim=similarity.double().mean().item(),
        mae_hu=error.abs().mean().item() * window.width_hu,
        psnr_body_db=_psnr_db(error[body]) if body.any() else None,
        mae_body_hu=_mae_hu(error, body, window),
        mae_bone_hu=_mae_hu(error, truth_hu > BONE_HU, window),
        mae_brain_hu=_mae_hu(error, brain, window),
        bone_dice=bone_dice(truth_hu, predicted_hu),
        cosine_similarity=_cosine(truth, predicted),
        ssim_body=_mean_inside(similarity, _valid(body)),
        mae_intracranial_hu=_mae_hu(error, brain & enclosed_by_bone(truth_hu), window),
        reprojection=None if integrals is None else reprojection_error(*integrals),
        gradient_ratio=gradient_ratio(truth, predicted, body),
        spectrum_distance_db=spectrum_distance_db(truth, predicted),
        brain_correlation=inside.correlation,
        brain_slope=inside.slope,
        csf_contrast=inside.csf_contrast,
        ventricle_dice=inside.ventricle_dice,
        inventions_cm3=inside.inventions_cm3,
    )


def psnr_db(truth_hu: Tensor, predicted_hu: Tensor, window: Window) -> float:
    """Peak signal-to-noise ratio with the window's width as peak, at most 100 dB so that sums over cases stay finite.

    Raises as :func:`case_metrics` does.
    """
    truth, predicted = _windowed(truth_hu, predicted_hu, window)
    return _psnr_db((predicted - truth).double())


def ssim(truth_hu: Tensor, predicted_hu: Tensor, window: Window) -> float:
    """Structural similarity (Wang et al., IEEE Trans Image Process 13:600, 2004) in three dimensions.

    Gaussian kernel of 11 voxels and sigma 1.5, population covariance, K1 0.01, K2 0.03, data range the window's width,
    values counted from its lower edge (the luminance term depends on where zero lies); the mean over the region
    where the whole kernel lies inside the volume. Raises as :func:`case_metrics` does.
    """
    return _ssim_map(*_windowed(truth_hu, predicted_hu, window)).double().mean().item()


def mae_hu(truth_hu: Tensor, predicted_hu: Tensor, window: Window) -> float:
    """Mean absolute error in HU of the windowed volumes. Raises as :func:`case_metrics` does."""
    truth, predicted = _windowed(truth_hu, predicted_hu, window)
    return (predicted - truth).double().abs().mean().item() * window.width_hu


def bone_dice(truth_hu: Tensor, predicted_hu: Tensor) -> float | None:
    """Dice overlap of the voxels above 300 HU; ``None`` if neither volume has any."""
    truth, predicted = truth_hu > BONE_HU, predicted_hu > BONE_HU
    voxels = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / voxels if voxels else None


def cosine_similarity(truth_hu: Tensor, predicted_hu: Tensor, window: Window) -> float | None:
    """Cosine of the angle between the windowed volumes as vectors, with the window's lower edge as zero.

    ``None`` if a volume lies at or below the lower edge throughout. Raises as :func:`case_metrics` does.
    """
    return _cosine(*_windowed(truth_hu, predicted_hu, window))


def reprojection_error(measured: Tensor, projected: Tensor) -> float:
    """Mean absolute difference of line integrals of one shape, dimensionless: of the case's DRR without noise, and of
    the prediction clipped to the window."""
    return (projected - measured).double().abs().mean().item()


def _windowed(truth_hu: Tensor, predicted_hu: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Both volumes clipped to the window and scaled to 0..1."""
    if truth_hu.ndim != 3 or truth_hu.shape != predicted_hu.shape:
        raise Refusal(
            ExitCode.IMAGE_INVALID,
            f"truth {tuple(truth_hu.shape)} and prediction {tuple(predicted_hu.shape)} are not one (z, y, x) shape",
            where="metrics",
            mend="compare volumes on the study's grid",
        )
    truth, predicted = truth_hu.float(), predicted_hu.float()
    if not (truth.isfinite().all() and predicted.isfinite().all()):
        raise Refusal(
            ExitCode.IMAGE_INVALID, "volume is not finite", where="metrics", mend="check that training converged"
        )
    low, high = window.low_hu, window.high_hu
    return (truth.clamp(low, high) - low) / (high - low), (predicted.clamp(low, high) - low) / (high - low)


def _psnr_db(error: Tensor) -> float:
    mean_square = error.square().mean().clamp(min=10 ** (-HIGHEST_PSNR_DB / 10))
    return -10 * mean_square.log10().item()


def _mae_hu(error: Tensor, region: Tensor, window: Window) -> float | None:
    mean = _mean_inside(error.abs(), region)
    return None if mean is None else mean * window.width_hu


def _mean_inside(values: Tensor, region: Tensor) -> float | None:
    return values[region].double().mean().item() if region.any() else None


def _cosine(truth: Tensor, predicted: Tensor) -> float | None:
    a, b = truth.double().ravel(), predicted.double().ravel()
    norms = (a.norm() * b.norm()).item()
    return (a @ b).item() / norms if norms > 0 else None


def _ssim_map(truth: Tensor, predicted: Tensor) -> Tensor:
    """SSIM of volumes in 0..1 at each centre of a whole kernel: (z - 10, y - 10, x - 10)."""
    if min(truth.shape) < SSIM_EDGE:
        raise Refusal(
            ExitCode.GEOMETRY_INVALID,
            f"volume {tuple(truth.shape)} is smaller than the SSIM kernel",
            where="metrics",
            mend=f"choose a grid of at least {SSIM_EDGE} voxels along each axis",
        )
    products = (truth, predicted, truth * truth, predicted * predicted, truth * predicted)
    mean_t, mean_p, square_t, square_p, cross = (_smoothed(volume) for volume in products)
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_t * mean_p + c1) / (mean_t.square() + mean_p.square() + c1)
    variances = square_t - mean_t.square() + square_p - mean_p.square()
    structure = (2 * (cross - mean_t * mean_p) + c2) / (variances + c2)
    return luminance * structure


def _smoothed(volume: Tensor) -> Tensor:
    """Gaussian mean over the valid region, one axis after the other."""
    z, y, x = (_smoothing_matrix(cells, volume) for cells in volume.shape)
    planes = y @ (volume @ x.t())
    return (z @ planes.flatten(1)).view(z.shape[0], *planes.shape[1:])


def _smoothing_matrix(cells: int, like: Tensor) -> Tensor:
    """(cells - 10, cells): a banded product is ten times faster on CPUs than a convolution of one channel."""
    distance = torch.arange(cells)[None, :] - torch.arange(cells - SSIM_EDGE + 1)[:, None] - SSIM_EDGE // 2
    weights = torch.exp(-0.5 * (distance.double() / SSIM_SIGMA) ** 2) * (distance.abs() <= SSIM_EDGE // 2)
    return (weights / weights.sum(dim=1, keepdim=True)).to(like)


def _valid(region: Tensor) -> Tensor:
    margin = SSIM_EDGE // 2
    return region[margin:-margin, margin:-margin, margin:-margin]


__all__ = [
    "BODY_HU",
    "BONE_HU",
    "BRAIN_HU",
    "HIGHEST_PSNR_DB",
    "SSIM_EDGE",
    "SSIM_K1",
    "SSIM_K2",
    "SSIM_SIGMA",
    "CaseMetrics",
    "body_mask",
    "bone_dice",
    "case_metrics",
    "cosine_similarity",
    "mae_hu",
    "psnr_db",
    "reprojection_error",
    "ssim",
]
