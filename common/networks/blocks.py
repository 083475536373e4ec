"""Layers shared by the networks. GroupNorm throughout: batches are tiny and an unseen centre has no statistics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.networks.convolution import PointwiseConv3d, VolumeConv3d

CHANNELS_PER_GROUP = 4
LEAK = 0.1


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm over groups of about four channels (Wu and He, ECCV 2018)."""
    groups = max(channels // CHANNELS_PER_GROUP, 1)
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels)


def _convolution(dimensions: int, inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    if dimensions == 3 and kernel == stride == 1:
        return PointwiseConv3d(inputs, outputs, bias=False)
    kind = nn.Conv2d if dimensions == 2 else VolumeConv3d
    return kind(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


@final
class ConvUnit(nn.Module):
    """Convolution, GroupNorm, leaky ReLU, in two or three dimensions."""

    def __init__(self, dimensions: int, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.convolution = _convolution(dimensions, inputs, outputs, kernel, stride)
        self.norm = group_norm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, ...) to (B, outputs, ...), each axis divided by the stride."""
        return functional.leaky_relu(self.norm(self.convolution(features)), LEAK, inplace=True)


@final
class JoinUnit(nn.Module):
    """A :class:`ConvUnit` of kernel 1 on several tensors as though they were one, which is never put together.

    Args:
        inputs: channels of all tensors.
        outputs: channels that leave.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = PointwiseConv3d(inputs, outputs, bias=False)
        self.norm = group_norm(outputs)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """(B or 1, channels, z, y, x) each, to (B, outputs, z, y, x), channels last in memory."""
        weights = torch.split(self.convolution.weight.flatten(1), [part.shape[1] for part in parts], dim=1)
        terms = (weight @ part.flatten(2) for weight, part in zip(weights, parts, strict=True))
        joined = functools.reduce(torch.add, terms)
        features = joined.view(*joined.shape[:2], *parts[0].shape[2:]).contiguous(memory_format=torch.channels_last_3d)
        return functional.leaky_relu(self.norm(features), LEAK, inplace=True)


@final
class ResidualUnit(nn.Module):
    """Two convolutions beside an identity (He et al., CVPR 2016); the second norm starts small."""

    def __init__(self, dimensions: int, channels: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimensions == 2 else VolumeConv3d
        self.first = ConvUnit(dimensions, channels, channels)
        self.second = convolution(channels, channels, 3, padding=1, bias=False)
        self.norm = group_norm(channels)
        nn.init.constant_(self.norm.weight, 0.2)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, ...) to the same shape."""
        change = self.norm(self.second(self.first(features)))
        return functional.leaky_relu(features + change, LEAK, inplace=True)


def space_to_depth(volume: Tensor) -> Tensor:
    """(B, C, 2z, 2y, 2x) to (B, 8C, z, y, x): each 2-cube of voxels becomes channels."""
    batch, channels, z, y, x = volume.shape
    cubes = volume.reshape(batch, channels, z // 2, 2, y // 2, 2, x // 2, 2)
    return cubes.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, channels * 8, z // 2, y // 2, x // 2)


def depth_to_space(features: Tensor) -> Tensor:
    """Inverse of :func:`space_to_depth`."""
    batch, channels, z, y, x = features.shape
    cubes = features.reshape(batch, channels // 8, 2, 2, 2, z, y, x)
    return cubes.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels // 8, z * 2, y * 2, x * 2)


def start_as_resize(layer: nn.Conv3d, first_outputs: Sequence[float]) -> None:
    """Give the eight channels of every 2-cube equal weights, so that depth-to-space starts without a checkerboard.

    ICNR: Aitken et al., arXiv 1707.02937.

    Args:
        layer: convolution, with a bias, before :func:`depth_to_space`.
        first_outputs: bias of each output after it.
    """
    with torch.no_grad():
        layer.weight.copy_(layer.weight[::8].repeat_interleave(8, dim=0))
        if layer.bias is not None:
            layer.bias.copy_(torch.tensor(first_outputs).repeat_interleave(8))
