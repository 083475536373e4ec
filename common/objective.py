"""The training losses, each a pure function of windowed volumes, line integrals or scores."""

from __future__ import annotations

import torch
from torch import Tensor

from common.metrics import BODY_HU, BONE_HU
from common.study import Optimisation, Window


def to_window(volume_hu: Tensor, window: Window) -> Tensor:
    """HU clipped to the window and scaled to 0..1, float32."""
    return ((volume_hu.float() - window.low_hu) / window.width_hu).clamp(0, 1)


def from_window(volume: Tensor, window: Window) -> Tensor:
    """HU of a windowed volume: inverse of :func:`to_window` inside the window."""
    return volume * window.width_hu + window.low_hu


def voxel_weights(target: Tensor, window: Window, optimisation: Optimisation) -> Tensor:
    """Weight of every voxel in the reconstruction loss.

    Args:
        target: any shape, windowed to 0..1.
        window: the study's HU window.
        optimisation: ``body_weight`` is added above -500 HU, ``bone_weight`` above 300 HU.

    Returns:
        The target's shape, at least 1.
    """
    hu = from_window(target, window)
    return 1 + optimisation.body_weight * (hu > BODY_HU).float() + optimisation.bone_weight * (hu > BONE_HU).float()


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


def reprojection_loss(projected: Tensor, measured: Tensor, integral_scale: float) -> Tensor:
    """Mean absolute difference of line integrals (B, 2, rows, columns) in units of the study's ``integral_scale``."""
    return (projected - measured).abs().mean() / integral_scale


def generator_adversarial_loss(scores_of_generated: Tensor) -> Tensor:
    """Least-squares GAN loss of the generator (Mao et al., ICCV 2017): generated patches should score 1."""
    return (scores_of_generated - 1).square().mean()


def discriminator_loss(scores_of_real: Tensor, scores_of_generated: Tensor) -> Tensor:
    """Least-squares GAN loss of the discriminator: real patches should score 1, generated ones 0."""
    return 0.5 * ((scores_of_real - 1).square().mean() + scores_of_generated.square().mean())


def all_finite(*values: Tensor) -> bool:
    """Whether every element of every tensor is finite."""
    return all(bool(torch.isfinite(value).all()) for value in values)
