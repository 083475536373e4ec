"""The projector inside the network: a predicted volume is moved until it projects onto the radiographs it came from."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from common.geometry import Geometry, Grid
from common.projection import Projector, hu_to_mu
from common.study import Window

DAMPING = 0.9


@final
class ProjectorConsistency(nn.Module):
    """Weighted gradient steps towards agreement with the measured line integrals.

    Each step is ``p <- clamp(p - 0.9 a w At(A p - x), 0, 1)``: A projects, At is its adjoint, w says voxel by voxel how
    far the prediction may be moved, and a is the exact minimiser of the residual along ``w At(A p - x)``. It has no
    parameters and an empty state.

    Args:
        grid: the volume's grid.
        geometry: source, detector and views.
        window: HU window of the volumes.
        water_mu_per_mm: attenuation of water.
        steps: unrolled steps.
    """

    def __init__(self, grid: Grid, geometry: Geometry, window: Window, water_mu_per_mm: float, steps: int) -> None:
        super().__init__()
        self.projector = Projector(grid, geometry)
        self.window = window
        self.water_mu_per_mm = water_mu_per_mm
        self.steps = steps

    def forward(self, volume: Tensor, weight: Tensor, integrals: Tensor) -> Tensor:
        """The volume after all steps.

        Args:
            volume: (B, 1, z, y, x), windowed to 0..1.
            weight: (B, 1, z, y, x), not negative; only its proportions matter.
            integrals: (B, 2, rows, columns), measured line integrals.

        Returns:
            (B, 1, z, y, x), windowed to 0..1.
        """
        for _ in range(self.steps):
            residual = self.project(volume) - integrals
            direction = weight * self.projector.adjoint(residual)
            with torch.no_grad():
                length = self._step_length(direction, residual)
            volume = (volume - DAMPING * length * direction).clamp(0, 1)
        return volume

    def project(self, volume: Tensor) -> Tensor:
        """Line integrals (B, 2, rows, columns) of a windowed volume (B, 1, z, y, x)."""
        hu = self.window.low_hu + volume * self.window.width_hu
        projected: Tensor = self.projector(hu_to_mu(hu, self.water_mu_per_mm))
        return projected

    def _step_length(self, direction: Tensor, residual: Tensor) -> Tensor:
        """Exact line search, one length per volume: <r, A d> / <A d, A d> for the residual r along direction d."""
        change = self.projector(direction)
        per_window_unit = self.window.width_hu * self.water_mu_per_mm / 1000.0
        above = (residual * change).sum(dim=(1, 2, 3))
        below = (change * change).sum(dim=(1, 2, 3)) * per_window_unit
        length: Tensor = above / below.clamp(min=torch.finfo(below.dtype).tiny)
        return length.view(-1, 1, 1, 1, 1)
