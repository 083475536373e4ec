"""The training losses, each a pure function of windowed volumes, line integrals, scores or features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from common.metrics import BODY_HU, BONE_HU, BRAIN_HU, SOFT_HU, enclosed_by_bone, soft_tissue_within
from common.study import Optimisation, Window

BRAIN_UNIT_HU = 40.0
WANTED_SLOPE = 1.0


def to_window(volume_hu: Tensor, window: Window) -> Tensor:
    """HU clipped to the window and scaled to 0..1, float32."""
    return ((volume_hu.float() - window.low_hu) / window.width_hu).clamp(0, 1)


def from_window(volume: Tensor, window: Window) -> Tensor:
    """HU of a windowed volume: inverse of :func:`to_window` inside the window."""
    return volume * window.width_hu + window.low_hu


def voxel_weights(target: Tensor, window: Window, optimisation: Optimisation) -> Tensor:
    """Weight of every voxel in the reconstruction loss.

    Args:
        target: windowed to 0..1; (..., z, y, x) where ``brain_weight`` is above 0, otherwise any shape.
        window: the study's HU window.
        optimisation: ``body_weight`` is added above -500 HU, ``bone_weight`` above 300 HU, ``brain_weight`` in 0..80 HU
            inside the skull.

    Returns:
        The target's shape, at least 1.
    """
    hu = from_window(target, window)
    weights = 1 + optimisation.body_weight * (hu > BODY_HU).float() + optimisation.bone_weight * (hu > BONE_HU).float()
    if optimisation.brain_weight > 0:
        brain = (hu >= BRAIN_HU[0]) & (hu <= BRAIN_HU[1]) & enclosed_by_bone(hu)
        weights = weights + optimisation.brain_weight * brain.float()
    return weights


def weighted_l1(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean absolute error of windowed volumes of one shape."""
    return (weights * (predicted - target).abs()).sum() / weights.sum()


def weighted_mse(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean squared error of windowed volumes of one shape."""
    return (weights * (predicted - target).square()).sum() / weights.sum()


def reconstruction_loss(predicted: Tensor, target: Tensor, window: Window, optimisation: Optimisation) -> Tensor:
    """``l1_weight`` times the weighted L1 plus ``mse_weight`` times the weighted MSE."""
    weights = voxel_weights(target, window, optimisation)
    absolute = weighted_l1(predicted, target, weights)
    return optimisation.l1_weight * absolute + optimisation.mse_weight * weighted_mse(predicted, target, weights)


def brain_losses(predicted: Tensor, target: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Squared error of soft tissue inside the skull, and its lack of contrast.

    Args:
        predicted: (B, 1, z, y, x), windowed to 0..1.
        target: the same shape.
        window: the study's HU window.

    Returns:
        Mean squared error in units of 40 HU, each case's prediction less its mean and its truth less its median, since
        scanners differ by more than brains do; and the mean over cases of the squared difference of 1 to the slope of
        prediction on truth, both smoothed, where it is less.
    """
    hu, shown_hu = from_window(target, window), from_window(predicted, window).clamp(*SOFT_HU)
    inside = soft_tissue_within(hu).flatten(1)
    volumes = hu.clamp(*SOFT_HU), shown_hu
    # Nothing is read back from the device: a case without a skull counts with a weight of 0.
    present, voxels = inside.any(dim=1), inside.sum(dim=1, keepdim=True).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (values * inside).sum(dim=1, keepdim=True) / voxels

    truth, shown = (volume.flatten(1) for volume in volumes)
    middle = torch.where(inside, truth, torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num()
    errors = mean(((shown - mean(shown)) - (truth - middle)).square()) / BRAIN_UNIT_HU**2
    truth, shown = (functional.avg_pool3d(volume, 3, 1, 1).flatten(1) for volume in volumes)
    about = (truth - mean(truth)) * inside
    slopes = (about * shown).sum(dim=1, keepdim=True) / about.square().sum(dim=1, keepdim=True).clamp(min=1.0)
    lacks = functional.relu(WANTED_SLOPE - slopes).square()
    shares = present / present.sum().clamp(min=1)
    return (errors.squeeze(1) * shares).sum(), (lacks.squeeze(1) * shares).sum()


def reprojection_loss(residual: Tensor, integral_scale: float, exposed: Tensor | None = None) -> Tensor:
    """Mean absolute residual of line integrals (B, 2, rows, columns) in units of the study's ``integral_scale``.

    Args:
        residual: projected less measured line integrals, 0 where nothing was exposed.
        integral_scale: the study's.
        exposed: the same shape, 1 where pixels count, else 0; None where all do.
    """
    if exposed is None:
        return residual.abs().mean() / integral_scale
    return residual.abs().sum() / exposed.sum().clamp(min=1) / integral_scale


def axis_projection_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the means along each axis, averaged over the axes (Ying et al., CVPR 2019).

    Volumes are (B, 1, z, y, x), windowed to 0..1.
    """
    return torch.stack([(predicted - target).mean(dim=axis).abs().mean() for axis in (2, 3, 4)]).mean()


def likelihood_loss(predicted: Tensor, log_variance: Tensor, target: Tensor, likelihood: str) -> Tensor:
    """Mean negative log-likelihood per voxel, without its constant (Kendall and Gal, NeurIPS 2017).

    Args:
        predicted: mean of the distribution, windowed.
        log_variance: logarithm of its variance, of the same shape.
        target: windowed, of the same shape.
        likelihood: ``gaussian``: half of ``log v + e^2 / v``; ``laplace``, of scale b with ``v = 2 b^2``:
            ``log b + |e| / b``.
    """
    error = predicted - target
    if likelihood == "gaussian":
        return 0.5 * (log_variance + error.square() * torch.exp(-log_variance)).mean()
    log_scale = 0.5 * (log_variance - math.log(2))
    return (log_scale + error.abs() * torch.exp(-log_scale)).mean()


def generator_adversarial_loss(scores_of_generated: Tensor, loss: str = "least_squares") -> Tensor:
    """The generator's adversarial loss.

    Args:
        scores_of_generated: any shape.
        loss: ``least_squares`` (Mao et al., ICCV 2017): generated patches should score 1; ``hinge`` (Lim and Ye,
            arXiv 1705.02894): the higher the better.
    """
    if loss == "hinge":
        return -scores_of_generated.mean()
    return (scores_of_generated - 1).square().mean()


def discriminator_loss(scores_of_real: Tensor, scores_of_generated: Tensor, loss: str = "least_squares") -> Tensor:
    """The discriminator's loss, by the names of :func:`generator_adversarial_loss`.

    Least squares wants real patches at 1 and generated ones at 0; hinge wants them above 1 and below -1.
    """
    if loss == "hinge":
        return 0.5 * (functional.relu(1 - scores_of_real).mean() + functional.relu(1 + scores_of_generated).mean())
    return 0.5 * ((scores_of_real - 1).square().mean() + scores_of_generated.square().mean())


def adversarial_weight(optimisation: Optimisation, global_step: int) -> float:
    """Weight of the adversarial term at a global step: 0 before its first step, then a linear ramp to the full one."""
    done = global_step - optimisation.adversarial_from_step + 1
    if done <= 0:
        return 0.0
    return optimisation.adversarial_weight * min(1.0, done / (optimisation.adversarial_ramp_steps + 1))


def feature_matching_loss(generated: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the discriminator's features, averaged over its layers (Wang et al., CVPR 2018)."""
    terms = [(g.float() - r.float()).abs().mean() for g, r in zip(generated, real, strict=True)]
    return torch.stack(terms).mean()


def all_finite(*values: Tensor) -> bool:
    """Whether every element of every tensor is finite."""
    return all(bool(torch.isfinite(value).all()) for value in values)
