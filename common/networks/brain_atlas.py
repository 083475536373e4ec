"""An atlas of soft tissue inside the skull, bent to the head that the network sees.

Two radiographs tell where the skull lies and next to nothing of what it holds. What is known of a brain beyond them is
what brains have in common: here it is the average procedural head, which holds no image of anybody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional

from common.geometry import Grid
from common.networks.tissues import SOFT_UNIT_HU
from common.study import SOFT_TISSUE_HU

# Nodes of the atlas in the canonical frame, (z, y, x): the first one's place, their distance, how many there are.
ATLAS_LOW_MM: Final = (-65.0, -95.0, -75.0)
ATLAS_NODE_MM: Final = 5.0
ATLAS_SHAPE: Final = (33, 39, 31)
# The farthest that the atlas is moved: adult skulls differ by less.
GREATEST_BEND_MM = 20.0
# What bends the atlas moves slower than other weights by this factor, and in training sees its features behind so much
# noise, in SDs of each channel: few persons differ in more than heads at large do, and would be learned by heart.
BENDING_RATE: Final = 1 / 6
NOISE_SDS: Final = 4.0
_TABLE = Path(__file__).with_name("brain_atlas.safetensors")


@final
class BentAtlas(nn.Module):
    """Mean and modes of soft tissue on a coarse grid of nodes, sampled where a smooth displacement says.

    Displacement and amounts of the modes come from the deepest features of the volume network, one each of their cells,
    interpolated in between. Before training nothing is bent and the mean alone is there. In training the features are
    seen behind noise from torch's default generator: who wants the same step again seeds it.

    Args:
        grid: the volume's grid.
        features: channels of the deepest features.
        learned: whether mean and modes are parameters too, which are trained, travel and are averaged.
    """

    atlas: Tensor

    def __init__(self, grid: Grid, features: int, *, learned: bool) -> None:
        super().__init__()
        first = _first_atlas()
        if learned:
            self.atlas = nn.Parameter(first)
        else:
            self.register_buffer("atlas", first, persistent=False)
        self.bend = nn.Conv3d(features, 3 + len(first) - 1, 1)
        for parameter in self.bend.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("places", _places(grid), persistent=False)
        reach_mm = torch.tensor([ATLAS_NODE_MM * (count - 1) / 2 for count in reversed(ATLAS_SHAPE)])
        self.register_buffer("bends", GREATEST_BEND_MM / reach_mm.view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, deepest: Tensor) -> Tensor:
        """(B, features, z', y', x') to (B, 1, z, y, x) before soft tissue's bounds."""
        places = self.get_buffer("places")
        if self.training:
            sds = deepest.std(dim=(2, 3, 4), correction=0, keepdim=True)
            deepest = deepest + NOISE_SDS * sds * torch.randn_like(deepest)
        told = BENDING_RATE * self.bend(deepest).float()
        told = functional.interpolate(told, size=places.shape[1:4], mode="trilinear", align_corners=False)
        moved = places + (torch.tanh(told[:, :3]) * self.get_buffer("bends")).permute(0, 2, 3, 4, 1)
        batch = self.atlas.unsqueeze(0).expand(len(deepest), -1, -1, -1, -1)
        sampled = functional.grid_sample(batch, moved, mode="bilinear", padding_mode="border", align_corners=True)
        return sampled[:, :1] + (told[:, 3:] * sampled[:, 1:]).sum(dim=1, keepdim=True)


def _first_atlas() -> Tensor:
    """(1 + modes, z, y, x): how the mean differs from soft tissue's middle, and modes on the same scale."""
    hu = load(_TABLE.read_bytes())["hu"].float()
    return torch.cat([hu[:1] - SOFT_TISSUE_HU, hu[1:]]) / SOFT_UNIT_HU


def _places(grid: Grid) -> Tensor:
    """(1, z, y, x, 3): each voxel's place between the outermost nodes, x, y, z from -1 to 1."""
    axes = [
        (torch.from_numpy(grid.centres_mm(axis)).float() - low) / (ATLAS_NODE_MM * (count - 1) / 2) - 1
        for axis, (low, count) in enumerate(zip(ATLAS_LOW_MM, ATLAS_SHAPE, strict=True))
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], dim=-1).unsqueeze(0)
