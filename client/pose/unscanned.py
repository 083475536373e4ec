"""What a CT does not show of its patient: a scan ends at the skull base, a film does not.

A scan's end is a plane, level or as the gantry was tilted. It is the highest plane below the head's middle that has no
tissue beneath it; what lies beneath it may be the jaw, and a film shows it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from common.attenuation import AIR_HU

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_TISSUE_HU: Final = -500.0
# Noise and dust of a scan are thinner than tissue.
_THINNEST_MM: Final = 4.0
# A head goes on that far below a volume.
_BELOW_MM: Final = 80.0
# A gantry is tilted by less than the slope of 30 degrees, and a head lies in it by less still.
_STEEPEST: Final = 0.7
_COLUMN_MM: Final = 6.0


def with_what_follows(volume_hu: NDArray[np.int16] | Image, voxel_mm: float) -> tuple[Image, Mask]:
    """The volume with air of 80 mm below and above it, its centre where it was, and what of that nobody has scanned.

    Args:
        volume_hu: (z, y, x), the patient upright.
        voxel_mm: edge of its voxels.

    Returns:
        HU and mask, (z, y, x) both; unknown is what lies below the scan's end, and all below the volume.
    """
    more = math.ceil(_BELOW_MM / voxel_mm)
    taller = np.pad(np.asarray(volume_hu, np.float32), ((more, more), (0, 0), (0, 0)), constant_values=AIR_HU)
    _, rows, columns = taller.shape
    height, back, left = scan_end(volume_hu, voxel_mm)
    y, x = np.arange(rows)[:, None] - (rows - 1) / 2, np.arange(columns) - (columns - 1) / 2
    # Half a voxel: the lowest tissue's own voxels are known.
    end = np.maximum(height + back * y + left * x, 0.0) + more - 0.5
    return taller, np.asarray(np.arange(len(taller))[:, None, None] < end)


def scan_end(volume_hu: NDArray[np.int16] | Image, voxel_mm: float) -> tuple[float, float, float]:
    """The plane at which a scan ends, in voxels: its height in the volume's middle, and its slopes along y and x.

    Args:
        volume_hu: (z, y, x), the patient upright.
        voxel_mm: edge of its voxels.
    """
    tissue = ndimage.binary_opening(volume_hu > _TISSUE_HU, iterations=max(round(_THINNEST_MM / 2 / voxel_mm), 1))
    if not tissue.any():
        return 0.0, 0.0, 0.0
    step = max(round(_COLUMN_MM / voxel_mm), 1)
    lowest = np.where(tissue.any(axis=0), tissue.argmax(axis=0), len(tissue))
    lowest = ndimage.minimum_filter(lowest, size=step)[::step, ::step]
    y, x = np.meshgrid(*(np.arange(0, edge, step) - (edge - 1) / 2 for edge in tissue.shape[1:]), indexing="ij")
    inside = lowest < len(tissue)
    y, x, heights = y[inside], x[inside], lowest[inside]
    middle = np.array([1.0, y.mean(), x.mean()])
    planes = np.stack((np.ones_like(y), y, x), axis=1)
    slopes = (-_STEEPEST, _STEEPEST)
    found = optimize.linprog(-middle, A_ub=planes, b_ub=heights, bounds=[(None, None), slopes, slopes], method="highs")
    if found.x is None:
        return 0.0, 0.0, 0.0
    height, back, left = (float(part) for part in found.x)
    return height, back, left
