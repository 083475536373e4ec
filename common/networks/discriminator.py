"""The discriminator: is this volume a real one, patch by patch, given the radiographs?"""

from __future__ import annotations

import itertools
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.lifting import Lifting
from common.networks.blocks import LEAK, ConvUnit
from common.study import Study


@final
class PatchDiscriminator(nn.Module):
    """A 3D patch discriminator (Isola et al., CVPR 2017) that sees the radiographs lifted into the volume.

    Args:
        study: grid, geometry and the discriminator's width and layers.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        settings = study.networks.discriminator
        self.lift = Lifting(study.grid, study.geometry)
        widths = [settings.width * 2**layer for layer in range(settings.layers)]
        self.stem = nn.Conv3d(3, widths[0], 4, stride=2, padding=1)
        self.body = nn.Sequential(
            *(ConvUnit(3, inputs, outputs, stride=2) for inputs, outputs in itertools.pairwise(widths))
        )
        self.score = nn.Conv3d(widths[-1], 1, 3, padding=1)

    def forward(self, volume: Tensor, radiographs: Tensor) -> Tensor:
        """Scores near 1 for real patches and near 0 for generated ones.

        Args:
            volume: (B, 1, z, y, x), windowed to 0..1.
            radiographs: (B, 2, rows, columns), as the generator sees them.

        Returns:
            (B, 1, z', y', x'), one score per patch.
        """
        lifted = self.lift(radiographs.unsqueeze(2)).squeeze(2)
        both = torch.cat([volume, lifted], dim=1).contiguous(memory_format=torch.channels_last_3d)
        features = functional.leaky_relu(self.stem(both), LEAK)
        scores: Tensor = self.score(self.body(features))
        return scores
