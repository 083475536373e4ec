"""Convolutions of volumes, as PyTorch's, for the cases in which its own are slow on a CPU."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

# PyTorch 2.13 leaves a lone volume on a CPU to a slow convolution if batch * channels * z * y is at most this
# (ConvParams::use_mkldnn, aten/src/ATen/native/Convolution.cpp).
_SLOW_UP_TO = 20480


@final
class PointwiseConv3d(nn.Conv3d):
    """A convolution of kernel 1, computed as the product of matrices that it is: several times faster on a CPU."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, z, y, x) to (B, outputs, z, y, x), channels last in memory."""
        last = features.permute(0, 2, 3, 4, 1)
        return functional.linear(last, self.weight.flatten(1), self.bias).permute(0, 4, 1, 2, 3)


@final
class VolumeConv3d(nn.Conv3d):
    """A 3D convolution; a lone small volume on a CPU is convolved as a batch of its two halves along z.

    The same up to rounding, and several times faster there: only a batch of one is left to the slow convolution.
    Same arguments as :class:`torch.nn.Conv3d`, of which padding is in zeros and nothing is dilated.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, z, y, x) to (B, outputs, z', y', x')."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        planes = (features.shape[2] + 2 * padding - kernel) // stride + 1
        if not _is_slow(features) or planes % 2:
            return super().forward(features)
        padded = functional.pad(features, (0, 0, 0, 0, padding, padding))
        start, length = planes // 2 * stride, (planes // 2 - 1) * stride + kernel
        halves = torch.cat([padded[:, :, :length], padded[:, :, start : start + length]])
        halves = halves.contiguous(memory_format=torch.channels_last_3d)
        beside = (0, *self.padding[1:])
        convolved = functional.conv3d(halves, self.weight, self.bias, self.stride, beside)
        return torch.cat([convolved[:1], convolved[1:]], dim=2)


def _is_slow(features: Tensor) -> bool:
    alone = features.shape[0] == 1 and features.device.type == "cpu"
    return alone and math.prod(features.shape[:4]) <= _SLOW_UP_TO
