"""The classical baseline: a radiograph pair smeared back along its rays."""

from __future__ import annotations

import torch
from torch import Tensor

from common.projection.projector import Projector


def unfiltered_back_projection(projector: Projector, integrals: Tensor) -> Tensor:
    """The classical baseline: each ray's mean attenuation smeared back along the ray, the views averaged.

    A ray's mean attenuation is its line integral p over its path length L in the volume. In each view a voxel takes the
    mean over the rays that cross it, weighted by share and path length, Aᵀp / AᵀL in terms of the adjoint: weighting by
    length keeps rays that only graze the grid from dominating its edge. The views that see a voxel are then averaged; a
    voxel that none sees is air. Where attenuation is uniform the result is exact.

    Args:
        projector: the projector of the radiograph pair.
        integrals: (B, 2, rows, columns), line integrals.

    Returns:
        (B, 1, z, y, x), attenuation per mm.
    """
    lengths = projector.path_length_mm()
    views = [torch.tensor([[[[1.0]], [[0.0]]]]), torch.tensor([[[[0.0]], [[1.0]]]])]
    means, seen = [], []
    for view in (mask.to(lengths) for mask in views):
        weight = projector.adjoint(lengths * view)
        seen.append((weight > 0).to(weight))
        means.append(projector.adjoint(integrals.to(lengths) * view) / torch.where(weight > 0, weight, 1.0))
    return (means[0] + means[1]) / (seen[0] + seen[1]).clamp(min=1)
