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
# Scatter adds light where there is least: behind thick bone measured integrals lag a volume's, a parabola under a
# straight line. From so much on (root mean square of the parabola in line integrals, mean of both views) it is scatter
# that was not taken off; what a network has wrong does not bend like that.
MOST_BENT = 0.05


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

    def forward(
        self,
        volume: Tensor,
        weight: Tensor,
        integrals: Tensor,
        steps: int | None = None,
        exposed: Tensor | None = None,
    ) -> Tensor:
        """The volume after all steps.

        Args:
            volume: (B, 1, z, y, x), windowed to 0..1.
            weight: (B, 1, z, y, x), not negative; only its proportions matter.
            integrals: (B, 2, rows, columns), measured line integrals.
            steps: as many instead of the layer's own.
            exposed: (B, 2, rows, columns), 1 where the integrals count, else 0; None where all do.

        Returns:
            (B, 1, z, y, x), windowed to 0..1.
        """
        for _ in range(self.steps if steps is None else steps):
            projected = self.project(volume)
            residual = self.residual(projected, integrals, exposed)
            direction = weight * self.projector.adjoint(residual)
            with torch.no_grad():
                length = self._step_length(direction, residual, exposed)
            volume = (volume - DAMPING * length * direction).clamp(0, 1)
        return volume

    def project(self, volume: Tensor) -> Tensor:
        """Line integrals (B, 2, rows, columns) of a windowed volume (B, 1, z, y, x)."""
        hu = self.window.low_hu + volume * self.window.width_hu
        projected: Tensor = self.projector(hu_to_mu(hu, self.water_mu_per_mm))
        return projected

    def residual(self, projected: Tensor, integrals: Tensor, exposed: Tensor | None) -> Tensor:
        """What projected line integrals have too much, after the affine fit if there is one; 0 outside the mask."""
        measured = affine_fit(integrals, projected, exposed=exposed) if self.affine else integrals
        return projected - measured if exposed is None else (projected - measured) * exposed

    @torch.no_grad()
    def explains(self, volume: Tensor, integrals: Tensor, exposed: Tensor) -> Tensor:
        """Whether what a volume leaves of each pair's integrals can be anatomy rather than scatter: (B,) bool.

        Arguments as of :meth:`forward`.
        """
        projected = self.project(volume)
        middle = projected - _pixel_mean(projected, exposed)
        square = middle.square()
        tiny = torch.finfo(square.dtype).tiny
        slope = _pixel_mean(square * middle, exposed) / _pixel_mean(square, exposed).clamp(min=tiny)
        # Square to every gain and offset.
        parabola = square - _pixel_mean(square, exposed) - slope * middle
        along = _pixel_mean(integrals * parabola, exposed)
        bent = along / _pixel_mean(parabola.square(), exposed).clamp(min=tiny).sqrt()
        return bent.mean((1, 2, 3)) >= -MOST_BENT

    def _step_length(self, direction: Tensor, residual: Tensor, exposed: Tensor | None) -> Tensor:
        """Exact line search, one length per volume: <r, A d> / <A d, A d> for the residual r along direction d."""
        change = self.projector(direction)
        change = change if exposed is None else change * exposed
        per_window_unit = self.window.width_hu * self.water_mu_per_mm / 1000.0
        above = (residual * change).sum(dim=(1, 2, 3))
        below = (change * change).sum(dim=(1, 2, 3)) * per_window_unit
        length: Tensor = above / below.clamp(min=torch.finfo(below.dtype).tiny)
        return length.view(-1, 1, 1, 1, 1)


@torch.no_grad()
def affine_fit(
    measured: Tensor, projected: Tensor, pull: float = AFFINE_PULL, *, exposed: Tensor | None = None
) -> Tensor:
    """``g x + o`` for the measured integrals x of each view, close to the projected ones q.

    The gain 1 + c and the offset o minimise ``mean((q - x - c x - o)^2) + pull (c^2 mean(x^2) + o^2)``.

    Args:
        measured: (B, 2, rows, columns), line integrals.
        projected: the same shape.
        pull: strength of the pull towards identity, above 0.
        exposed: the same shape, 1 where pixels count, else 0; None where all do.

    Returns:
        The same shape, without a gradient.
    """
    missing = projected - measured
    mean, square = (_pixel_mean(power, exposed) for power in (measured, measured.square()))
    along, above = (_pixel_mean(product, exposed) for product in (missing * measured, missing))
    stiff = 1 + pull
    determinant = (square * stiff * stiff - mean.square()).clamp(min=torch.finfo(measured.dtype).tiny)
    change = (stiff * along - mean * above) / determinant
    offset = (square * stiff * above - mean * along) / determinant
    return measured + change * measured + offset


def _pixel_mean(images: Tensor, exposed: Tensor | None) -> Tensor:
    """Mean over the pixels that count, with both axes kept."""
    if exposed is None:
        return images.mean((-2, -1), keepdim=True)
    return (images * exposed).sum((-2, -1), keepdim=True) / exposed.sum((-2, -1), keepdim=True).clamp(min=1)
