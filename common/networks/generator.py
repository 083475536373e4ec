"""What every generator is: a radiograph pair in, a windowed volume out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """Turns radiograph pairs into volumes.

    Its parameters depend on the study alone and are all that travels. Grids, rays and projector weights are buffers
    that every site computes for itself.
    """

    @abstractmethod
    def forward(self, radiographs: Tensor) -> Tensor:
        """Windowed volumes.

        Args:
            radiographs: (B, 2, rows, columns), line integrals divided by the study's ``integral_scale``.

        Returns:
            (B, 1, z, y, x) in 0 to 1: 0 is the study window's lower HU bound, 1 its upper.
        """
