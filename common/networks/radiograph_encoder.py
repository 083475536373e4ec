"""The two-dimensional half of the lifting generator: one U-Net reads both radiographs."""

from __future__ import annotations

import itertools
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.networks.blocks import ConvUnit, ResidualUnit
from common.networks.radiograph_input import parted

HALVINGS = 4


@final
class RadiographEncoder(nn.Module):
    """A U-Net (Ronneberger et al., MICCAI 2015) with shared weights; a channel tells it which view it reads.

    Args:
        width: channels at full resolution; they double twice and then stay.
        outlets: 1 hands features out at half resolution, 2 at a quarter as well.
        masked: whether another channel says what was exposed.
    """

    def __init__(self, width: int, *, outlets: int, masked: bool = False) -> None:
        super().__init__()
        widths = [width * min(2**level, 4) for level in range(HALVINGS + 1)]
        self.inputs = 3 if masked else 2
        self.stem = ConvUnit(2, self.inputs, width)
        self.down = nn.ModuleList(
            nn.Sequential(ConvUnit(2, inputs, outputs, stride=2), ResidualUnit(2, outputs))
            for inputs, outputs in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.Sequential(ConvUnit(2, coarse + fine, fine), ResidualUnit(2, fine))
            for coarse, fine in zip(widths[:1:-1], widths[-2:0:-1], strict=True)
        )
        self.channels = (width, 2 * width)[:outlets]
        self.outlets = nn.ModuleList(
            ConvUnit(2, inputs, outputs, kernel=1) for inputs, outputs in zip(widths[1:], self.channels, strict=False)
        )

    def forward(self, radiographs: Tensor) -> list[Tensor]:
        """Features of both views at half and, with two outlets, quarter resolution.

        Args:
            radiographs: (B, 2, rows, columns), both divisible by 16; with their mask behind them if it is ``masked``.

        Returns:
            (B, 2, C0, rows / 2, columns / 2) and (B, 2, C1, rows / 4, columns / 4), with ``channels`` (C0, C1).
        """
        radiographs, exposed = parted(radiographs)
        batch, views, rows, columns = radiographs.shape
        view = torch.arange(views, dtype=radiographs.dtype, device=radiographs.device)
        view = view.view(1, views, 1, 1).expand_as(radiographs)
        channels = [radiographs, view] if exposed is None else [radiographs, view, exposed]
        images = torch.stack(channels, dim=2).reshape(batch * views, self.inputs, rows, columns)
        features = [self.stem(images.contiguous(memory_format=torch.channels_last))]
        for down in self.down:
            features.append(down(features[-1]))
        held = [features[-1]]
        for up, fine in zip(self.up, features[-2:0:-1], strict=True):
            raised = functional.interpolate(held[-1], scale_factor=2, mode="nearest")
            held.append(up(torch.cat([raised, fine], dim=1)))
        handed_out = [outlet(f) for outlet, f in zip(self.outlets, held[::-1], strict=False)]
        return [f.reshape(batch, views, *f.shape[1:]) for f in handed_out]
