"""The 2D encoder of the X2CT generator: densely connected stages (Huang et al., CVPR 2017), each halving the image.

A layer has the widths of MONAI's ``DenseNet`` blocks, which are private there and cost every process that knows a
network five seconds of imports.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from common.networks.blocks import group_norm

STEM_CHANNELS = 64
DENSE_LAYERS = (6, 12, 24, 16, 6)
GROWTH = 32


@final
class DenseEncoder(nn.Module):
    """One channel in, features at full resolution and after each of five halvings out.

    Attributes:
        channels: of the features, finest first: each stage but the last is compressed to half.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, STEM_CHANNELS, 7, padding=3, bias=False), group_norm(STEM_CHANNELS), nn.ReLU(inplace=True)
        )
        stages, channels = [], [STEM_CHANNELS]
        for number, layers in enumerate(DENSE_LAYERS, start=1):
            stage, outputs = _stage(channels[-1], layers, compressed=number < len(DENSE_LAYERS))
            stages.append(stage)
            channels.append(outputs)
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 1, rows, columns) to six maps (B, channels, rows / 2^level, columns / 2^level)."""
        features = [self.stem(image)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


@final
class _DenseLayer(nn.Module):
    """A 1-wide and a 3-wide convolution whose outputs join their inputs."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        inner = 4 * GROWTH
        self.layers = nn.Sequential(
            *_normed_convolution(inputs, inner, kernel=1), *_normed_convolution(inner, GROWTH, kernel=3)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, rows, columns) to (B, inputs + 32, rows, columns)."""
        return torch.cat([features, self.layers(features)], dim=1)


def _stage(inputs: int, layers: int, *, compressed: bool) -> tuple[nn.Sequential, int]:
    """A halving, a dense block, and a compression to half the channels; and how many channels leave it."""
    parts = [*_normed_convolution(inputs, inputs, kernel=3, stride=2)]
    outputs = inputs
    for _ in range(layers):
        parts.append(_DenseLayer(outputs))
        outputs += GROWTH
    if compressed:
        parts += _normed_convolution(outputs, outputs // 2, kernel=1)
        outputs //= 2
    else:
        parts += [group_norm(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts), outputs


def _normed_convolution(inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> list[nn.Module]:
    """GroupNorm, ReLU, convolution."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [group_norm(inputs), nn.ReLU(inplace=True), convolution]
