"""What a voxel holds, as shares of tissues: its value rests at a tissue's HU where the network is sure of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from common.study import SOFT_TISSUE_HU, Window

# What one tissue's own HU vary by: the least a prediction can be wrong.
FLOOR_SD_HU = 8.0
# Where soft tissue is no even grey, a small change of 1 is worth so much, and ends so far below and above the middle:
# what two radiographs cannot place is never shown with its full contrast.
SOFT_UNIT_HU = 40.0
DARKEST_HU, BRIGHTEST_HU = 22.0, 10.0
AIR_LOGIT, TISSUE_LOGIT, BONE_LOGIT = 1.0, 0.0, -1.5


@final
class TissueMixture(nn.Module):
    """Mean and variance of a voxel that holds each tissue with a softmax's share.

    Through a sigmoid over a window of 2500 HU the brain lies on the steepest slope, where a tenth of a logit is 60 HU.
    Here it is a share of 1, where logits hardly matter. And a mixture knows its doubt: nothing inside the brain, most
    at an edge of bone. Where a voxel holds either of two tissues, the mixture with its mean has its variance.

    Args:
        between_hu: tissues beside the window's two ends, ascending.
        window: the study's HU window.
    """

    def __init__(self, between_hu: Sequence[float], window: Window) -> None:
        super().__init__()
        inside = [hu for hu in between_hu if window.low_hu < hu < window.high_hu]
        places = torch.tensor([0.0, *((hu - window.low_hu) / window.width_hu for hu in inside), 1.0])
        # (2, tissues): value and square, so that one product of matrices gives both moments and keeps the shares alone.
        self.register_buffer("powers", torch.stack([places, places.square()]), persistent=False)
        self._soft = 1 + min(range(len(inside)), key=lambda index: abs(inside[index] - SOFT_TISSUE_HU), default=0)
        self._width_hu = window.width_hu
        self._floor = (FLOOR_SD_HU / window.width_hu) ** 2

    @property
    def first_logits(self) -> tuple[float, ...]:
        """Logits before training, one a tissue: mostly air, little bone."""
        return (AIR_LOGIT, *[TISSUE_LOGIT] * (self.get_buffer("powers").shape[1] - 2), BONE_LOGIT)

    def forward(self, logits: Tensor, soft: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and variance, each (B, 1, z, y, x), of values windowed to 0..1.

        Args:
            logits: (B, tissues, z, y, x).
            soft: (B, 1, z, y, x), what soft tissue holds as :meth:`soft` gives it; an even grey without. It says
                nothing of which tissue it is, and so it leaves the variance as it is.
        """
        shares = torch.softmax(logits, dim=1)
        moments = (self.get_buffer("powers") @ shares.flatten(2)).view(logits.shape[0], 2, *logits.shape[2:])
        mean, square = moments[:, :1], moments[:, 1:]
        variance = (square - mean.square()).clamp(min=0) + self._floor
        if soft is not None:
            mean = mean + shares[:, self._soft : self._soft + 1] * (soft - self.get_buffer("powers")[0, self._soft])
        return mean, variance

    def soft(self, change: Tensor) -> Tensor:
        """Soft tissue, windowed to 0..1, that differs from its middle by an unbounded change."""
        change_hu = SOFT_UNIT_HU * change
        ends_hu = torch.where(change_hu < 0, DARKEST_HU, BRIGHTEST_HU)
        shown_hu = ends_hu * torch.tanh(change_hu / ends_hu)
        reached: Tensor = self.get_buffer("powers")[0, self._soft] + shown_hu / self._width_hu
        return reached
