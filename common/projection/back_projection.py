"""The classical baseline: a radiograph pair smeared back along its rays."""

from __future__ import annotations

import torch
from torch import Tensor

from common.projection.projector import Projector

_LEAST_SHARE = 0.05


def unfiltered_back_projection(projector: Projector, integrals: Tensor) -> Tensor:
    """The classical baseline: each ray's mean attenuation smeared back along the ray, the views averaged.

    A ray's mean attenuation is its line integral p over its path length L in the volume. In each view a voxel takes the
    mean over the rays that cross it, weighted by share and path length, Aᵀp / AᵀL in terms of the adjoint: weighting by
    length keeps rays that only graze the grid from dominating its edge. Cubic interpolation overshoots there, so rays
    whose path is below a twentieth of the longest are left out, and a voxel counts as seen where its weight reaches a
    twentieth of the greatest. The views that see a voxel are averaged; a voxel that none sees is air. Where attenuation
    is uniform the result is exact.

    Args:
        projector: the projector of the radiograph pair.
        integrals: (B, 2, rows, columns), line integrals.

    Returns:
        (B, 1, z, y, x), attenuation per mm.
    """
    lengths = projector.path_length_mm()
    crosses = lengths > _LEAST_SHARE * lengths.amax(dim=(2, 3), keepdim=True)
    lengths, integrals = lengths * crosses, integrals.to(lengths) * crosses
    means, seen = [], []
    for view in torch.eye(2).to(lengths).view(2, 1, 2, 1, 1):
        weight = projector.adjoint(lengths * view)
        sees = weight > _LEAST_SHARE * weight.max()
        seen.append(sees)
        means.append(projector.adjoint(integrals * view) / torch.where(sees, weight, torch.inf))
    return (means[0] + means[1]) / (seen[0].to(lengths) + seen[1].to(lengths)).clamp(min=1)
