"""Parts of a head told apart by HU alone: body, bone, brain band, what bone encloses."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

BODY_HU = -500.0
BONE_HU = 300.0
BRAIN_HU = (0.0, 80.0)
DIRECTIONS_NEEDED = 4


def body_mask(volume_hu: Tensor) -> Tensor:
    """The patient: the largest connected part above -500 HU, holes filled in each axial plane.

    Holes are filled plane by plane because the airway leaves the volume below, where no 3D hole is closed.

    Args:
        volume_hu: (z, y, x), HU.

    Returns:
        (z, y, x), bool, on the volume's device; empty if nothing exceeds -500 HU.
    """
    parts, count = ndimage.label((volume_hu > BODY_HU).cpu().numpy())
    if count == 0:
        return torch.zeros_like(volume_hu, dtype=torch.bool)
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in largest])
    return torch.from_numpy(filled).to(volume_hu.device)


def enclosed_by_bone(volume_hu: Tensor) -> Tensor:
    """Voxels from which bone (> 300 HU) is met in at least four of five directions, all but the one below.

    The skull is open below, and thin or defective bone elsewhere must not throw shadows through the brain. It needs no
    search over connected parts, so that it can weigh the voxels of every training step. Throat and tongue between jaw,
    palate and spine count where bone surrounds them in the same way.

    Args:
        volume_hu: (..., z, y, x), HU, indices growing towards superior, posterior and left.

    Returns:
        The same shape, bool; bone itself counts where more bone surrounds it.
    """
    bone = (volume_hu > BONE_HU).float()
    sides = _seen_ahead(bone, -3)
    for axis in (-1, -2):
        sides += _seen_ahead(bone, axis) + _seen_behind(bone, axis)
    return sides >= DIRECTIONS_NEEDED


def _seen_ahead(bone: Tensor, axis: int) -> Tensor:
    """1 where bone lies at a higher index of the axis."""
    return (bone.cumsum(axis) < bone.sum(axis, keepdim=True)).float()


def _seen_behind(bone: Tensor, axis: int) -> Tensor:
    """1 where bone lies at a lower index of the axis."""
    return (bone.cumsum(axis) - bone > 0).float()
