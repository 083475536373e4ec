"""Parts of a head told apart by HU alone: body, bone, brain band, what bone encloses."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

BODY_HU = -500.0
BONE_HU = 300.0
BRAIN_HU = (0.0, 80.0)
DIRECTIONS_NEEDED = 4
# Inside the skull: gaps of the bone up to twice the first are closed, the rest keeps away what bone spills.
SOFT_HU = (-20.0, 100.0)
CLOSING_MM, SPILL_MM, DEEP_MM = 28.8, 11.0, 10.8


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
    return enclosed_within((volume_hu > BONE_HU).float())


def soft_tissue_within(volume_hu: Tensor, bone_hu: float = BONE_HU) -> Tensor:
    """Soft tissue inside the skull, a voxel away from bone: :func:`enclosed_by_bone`, by bone made a voxel thicker.

    In coarse voxels the skull has thin places; thicker by a voxel it has few.

    Args:
        volume_hu: (B, 1, z, y, x), HU, indices growing towards superior, posterior and left.
        bone_hu: what is denser is bone.

    Returns:
        The same shape, bool.
    """
    thick = functional.max_pool3d((volume_hu > bone_hu).float(), 3, 1, 1)
    soft = (volume_hu >= SOFT_HU[0]) & (volume_hu <= SOFT_HU[1])
    return soft & (thick == 0) & enclosed_within(thick)


def enclosed_within(bone: Tensor) -> Tensor:
    """:func:`enclosed_by_bone` of a mask (..., z, y, x), 1 where bone is."""
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


def within_skull(volume_hu: NDArray[np.float64], voxel_mm: float, spill_mm: float = SPILL_MM) -> NDArray[np.bool_]:
    """What bone encloses in axial planes and lies over 11 mm from it: the largest connected part of these holes.

    Args:
        volume_hu: (z, y, x), HU.
        voxel_mm: edge of a voxel.
        spill_mm: as near to bone instead of 11 mm.

    Returns:
        (z, y, x); empty where bone encloses nothing.
    """
    bone = volume_hu > BONE_HU
    holes = np.zeros_like(bone)
    if not bone.any():
        return holes
    for hole, plane in zip(holes, bone, strict=True):
        if plane.any():
            closed = _closed(plane, CLOSING_MM / voxel_mm + 0.01)
            hole[:] = ndimage.binary_fill_holes(closed) & ~closed
    holes &= ndimage.distance_transform_edt(~bone) * voxel_mm > spill_mm
    return _largest(holes)


def deep_brain(volume_hu: NDArray[np.float64], voxel_mm: float) -> NDArray[np.bool_]:
    """:func:`within_skull` without its outer 10.8 mm, where it holds -20..100 HU: neither skull nor scalp count."""
    inside = within_skull(volume_hu, voxel_mm)
    if not inside.any():
        return inside
    deep = _largest(ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1, 1:-1] * voxel_mm > DEEP_MM)
    return deep & (volume_hu >= SOFT_HU[0]) & (volume_hu <= SOFT_HU[1])


def _closed(plane: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Closing by a disc, in voxels, with room around the plane."""
    room = int(np.ceil(radius)) + 1
    grown = ndimage.distance_transform_edt(~np.pad(plane, room)) <= radius
    shrunk = ndimage.distance_transform_edt(grown) > radius
    closed: NDArray[np.bool_] = shrunk[room:-room, room:-room] | plane
    return closed


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    if count == 0:
        return mask
    largest: NDArray[np.bool_] = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return largest
