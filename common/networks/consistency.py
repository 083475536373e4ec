"""The projector inside the network: a predicted volume is moved until it projects onto the radiographs it came from."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from common.attenuation import hu_to_mu
from common.geometry import Geometry, Grid
from common.projection import Projector
from common.study import Window

DAMPING = 0.9
# Share of a seen gain or offset that stays unexplained and goes into the volume: AFFINE_PULL / (1 + AFFINE_PULL).
AFFINE_PULL = 0.03


@final
class ProjectorConsistency(nn.Module):
    """Weighted gradient steps towards agreement with the measured line integrals.

    Each step is ``p <- clamp(p - 0.9 a w At(A p - x), 0, 1)``: A projects, At is its adjoint, w says voxel by voxel how
    far the prediction may be moved, and a is the exact minimiser of the residual along ``w At(A p - x)``. It has no
    parameters and an empty state.

    With ``affine`` the measured integrals x of each view give way to ``g x + o`` before every step: gain and offset in
    closed form, the ridge regression of A p on x that is pulled towards gain 1 and offset 0. A wrong exposure is an
    offset of the integrals, a wrong energy a gain, and scatter a bit of both.

    Args:
        grid: the volume's grid.
        geometry: source, detector and views.
        window: HU window of the volumes.
        water_mu_per_mm: attenuation of water.
        steps: unrolled steps.
        affine: whether gain and offset of each view are fitted.
    """

    def __init__(
        self,
        grid: Grid,
        geometry: Geometry,
        window: Window,
        water_mu_per_mm: float,
        steps: int,
        *,
        affine: bool = False,
    ) -> None:
        super().__init__()
        self.projector = Projector(grid, geometry)
        self.window = window
        self.water_mu_per_mm = water_mu_per_mm
        self.steps = steps
        self.affine = affine

    def forward(self, volume: Tensor, weight: Tensor, integrals: Tensor, steps: int | None = None) -> Tensor:
        """The volume after all steps.

        Args:
            volume: (B, 1, z, y, x), windowed to 0..1.
            weight: (B, 1, z, y, x), not negative; only its proportions matter.
            integrals: (B, 2, rows, columns), measured line integrals.
            steps: as many instead of the layer's own.

        Returns:
            (B, 1, z, y, x), windowed to 0..1.
        """
        for _ in range(self.steps if steps is None else steps):
            projected = self.project(volume)
            measured = affine_fit(integrals, projected) if self.affine else integrals
            residual = projected - measured
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


@torch.no_grad()
def affine_fit(measured: Tensor, projected: Tensor, pull: float = AFFINE_PULL) -> Tensor:
    """``g x + o`` for the measured integrals x of each view, close to the projected ones q.

    The gain 1 + c and the offset o minimise ``mean((q - x - c x - o)^2) + pull (c^2 mean(x^2) + o^2)``.

    Args:
        measured: (B, 2, rows, columns), line integrals.
        projected: the same shape.
        pull: strength of the pull towards identity, above 0.

    Returns:
        The same shape, without a gradient.
    """
    missing, pixels = projected - measured, (-2, -1)
    mean, square = (power.mean(pixels, keepdim=True) for power in (measured, measured.square()))
    along, above = (m.mean(pixels, keepdim=True) for m in (missing * measured, missing))
    stiff = 1 + pull
    determinant = (square * stiff * stiff - mean.square()).clamp(min=torch.finfo(measured.dtype).tiny)
    change = (stiff * along - mean * above) / determinant
    offset = (square * stiff * above - mean * along) / determinant
    return measured + change * measured + offset
