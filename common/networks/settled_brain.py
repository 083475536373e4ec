"""What looks nearly like soft tissue inside the skull is soft tissue.

Radiographs leave a mixture of tissues most freedom far from bone, where a share of air or bone too much is a hole or a
clot that nobody has: down to -195 HU over 1.7 cm3 near the fourth ventricle was seen.
"""

from __future__ import annotations

from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.geometry import Grid
from common.metrics import enclosed_within

# In coarse voxels the skull's thinnest places hold less than bone.
THIN_BONE_HU: Final = 150.0
# Sinuses and throat lie below, or near bone: what holds so much air is air, so far from bone and beyond.
LOWEST_MM: Final = -40.0
AIR_HU: Final = -120.0
DEEP_MM: Final = 10.8
DEEP_AIR_HU: Final = -300.0


@final
class SettledBrain(nn.Module):
    """Where a volume is to hold soft tissue alone.

    Args:
        grid: the volume's grid, in the canonical frame.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        heights = torch.from_numpy(grid.centres_mm(0)).float().view(-1, 1, 1)
        self.register_buffer("above", heights >= LOWEST_MM, persistent=False)
        self._deep = 2 * max(1, round(DEEP_MM / grid.voxel_mm)) + 1

    def forward(self, volume_hu: Tensor) -> Tensor:
        """(B, 1, z, y, x), HU, to the same shape, bool: inside the skull, a voxel from what is denser than thin bone
        and above -120 HU, or 10.8 mm from it and above -300 HU."""
        bone = (volume_hu > THIN_BONE_HU).float()
        thick = functional.max_pool3d(bone, 3, 1, 1)
        deep = functional.max_pool3d(bone, self._deep, 1, self._deep // 2) == 0
        nearly_soft = (volume_hu > AIR_HU) | (deep & (volume_hu > DEEP_AIR_HU))
        inside: Tensor = nearly_soft & (thick == 0) & enclosed_within(thick) & self.get_buffer("above")
        return inside
