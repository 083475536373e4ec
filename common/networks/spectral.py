"""Spectral normalisation (Miyato et al., ICLR 2018) without a state: nothing of it travels or is averaged.

The usual form keeps singular vectors between steps and turns them once a step. Here they are found anew from a fixed
start at every use, in a few products with a matrix of at most some thousand columns, so that a repeated round repeats
exactly.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ITERATIONS = 8


def divide_by_largest_singular_value(network: nn.Module) -> None:
    """Divide the weight of every 3D convolution, as a matrix of outputs by inputs, by its largest singular value."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv3d):
            parametrize.register_parametrization(module, "weight", _UnitNorm())


@final
class _UnitNorm(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        """The weight (outputs, inputs, z, y, x) over its largest singular value."""
        return weight / largest_singular_value(weight.flatten(1))


def largest_singular_value(matrix: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """By power iteration, at most the true one; gradients flow through the matrix, not through its vectors."""
    with torch.no_grad():
        left = torch.arange(len(matrix), dtype=matrix.dtype, device=matrix.device).cos()
        for _ in range(iterations):
            right = _unit(matrix.t() @ left)
            left = _unit(matrix @ right)
    value: Tensor = left @ (matrix @ right)
    return value


def _unit(vector: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vector)
    return vector / length.clamp(min=torch.finfo(vector.dtype).tiny)
