"""The discriminator: is this volume a real one, patch by patch, given the radiographs?"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.metrics import BRAIN_HU
from common.networks.blocks import LEAK, ConvUnit
from common.networks.convolution import VolumeConv3d
from common.networks.radiograph_input import parted
from common.networks.spectral import divide_by_largest_singular_value
from common.projection import Lifting
from common.study import Study, Window

DETAIL_GAIN = 10.0


@final
@dataclass(frozen=True)
class Judgement:
    """What a discriminator says of a batch.

    Attributes:
        scores: (B, 1, z', y', x'), one per patch, higher for real ones.
        features: (B, channels, ...) of every inner layer, for feature matching.
    """

    scores: Tensor
    features: tuple[Tensor, ...]


class Discriminator(nn.Module, ABC):
    """Tells real volumes from generated ones, given the radiographs."""

    @abstractmethod
    def judge(self, volume: Tensor, radiographs: Tensor) -> Judgement:
        """Scores and inner features.

        Args:
            volume: (B, 1, z, y, x), windowed to 0..1.
            radiographs: as the generator sees them; of a film's mask it is not told.
        """

    def forward(self, volume: Tensor, radiographs: Tensor) -> Tensor:
        """The scores alone; arguments as :meth:`judge`."""
        return self.judge(volume, radiographs).scores


@final
class PatchDiscriminator(Discriminator):
    """A 3D patch discriminator (Isola et al., CVPR 2017) that sees the radiographs lifted into the volume.

    Beside the volume it sees the volume's detail: each voxel less the mean of its neighbourhood, enlarged. Blurred and
    sharp heads differ by little else, and from the volume alone hundreds of steps do not find it. Where the study asks,
    it sees the brain's window too.

    Args:
        study: grid, geometry and the discriminator's width and layers.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        settings = study.networks.discriminator
        self.lift = Lifting(study.grid, study.geometry)
        widths = [settings.width * 2**layer for layer in range(settings.layers)]
        self._window = study.window if settings.brain_window else None
        self.stem = VolumeConv3d(4 + settings.brain_window, widths[0], 4, stride=2, padding=1)
        self.body = nn.Sequential(
            *(ConvUnit(3, inputs, outputs, stride=2) for inputs, outputs in itertools.pairwise(widths))
        )
        self.score = VolumeConv3d(widths[-1], 1, 3, padding=1)
        if settings.spectral_norm:
            divide_by_largest_singular_value(self)

    def judge(self, volume: Tensor, radiographs: Tensor) -> Judgement:
        """Scores (B, 1, z', y', x') and the features of every layer before them."""
        lifted = self.lift(parted(radiographs)[0].unsqueeze(2)).squeeze(2)
        shown = [volume, detail(volume), lifted]
        if self._window is not None:
            shown.append(brain_window(volume, self._window))
        seen = torch.cat(shown, dim=1).contiguous(memory_format=torch.channels_last_3d)
        features = [functional.leaky_relu(self.stem(seen), LEAK)]
        for unit in self.body:
            features.append(unit(features[-1]))
        scores: Tensor = self.score(features[-1])
        return Judgement(scores.float() if scores.dtype is torch.bfloat16 else scores, tuple(features))


def brain_window(volume: Tensor, window: Window) -> Tensor:
    """0 at 0 HU and below, 1 at 80 HU and above, of a volume of any shape that is windowed to 0..1."""
    low, high = ((hu - window.low_hu) / window.width_hu for hu in BRAIN_HU)
    return ((volume - low) / (high - low)).clamp(0, 1)


def detail(volume: Tensor) -> Tensor:
    """(B, 1, z, y, x): ten times what a voxel differs from the mean of its 3-cube, as far as that lies in the grid."""
    mean = functional.avg_pool3d(volume, 3, stride=1, padding=1, count_include_pad=False)
    return DETAIL_GAIN * (volume - mean)
