"""How much water and bone each ray of a film meets: equal steps along the ray, linear between voxels.

It shares nothing with :mod:`common.projection`, which goes plane by plane and cubically: a fault of either shows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from common.geometry import Beam, Geometry
from common.spectrum import water_and_bone

STEPS_A_VOXEL = 2.0


def tissue_paths_mm(
    volume_hu: NDArray[np.int16] | NDArray[np.float32], voxel_mm: float, geometry: Geometry, beam: Beam
) -> NDArray[np.float32]:
    """Lengths of water and cortical bone along the rays of one view.

    Args:
        volume_hu: (z, y, x), isotropic, centred on the isocentre; outside it is air.
        voxel_mm: edge of its voxels.
        geometry: source, detector and views.
        beam: one of the geometry's.

    Returns:
        (2, rows, columns): water, bone, in mm.
    """
    tissues = np.ascontiguousarray(np.stack(water_and_bone(np.asarray(volume_hu, dtype=np.float32)), axis=-1))
    rays = geometry.rays(beam)
    paths = np.zeros((2, *geometry.detector_shape), dtype=np.float32)
    middle = (np.array(volume_hu.shape[::-1]) - 1) / 2
    source, corner = rays.source_mm / voxel_mm + middle, rays.corner_mm / voxel_mm + middle
    _march(tissues, source, corner, rays.row_step_mm / voxel_mm, rays.column_step_mm / voxel_mm, STEPS_A_VOXEL, paths)
    return paths * np.float32(voxel_mm)


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
def _march(tissues: Any, source: Any, corner: Any, down: Any, right: Any, fineness: Any, paths: Any) -> None:  # noqa: ANN401
    """All in voxels, x, y, z; the volume is (z, y, x, tissue)."""
    for row in range(paths.shape[1]):
        for column in range(paths.shape[2]):
            ray = corner + row * down + column * right - source
            near, far = 0.0, 1.0
            for axis in range(3):
                last = float(tissues.shape[2 - axis])
                # Half a voxel of fading on either side belongs to the outermost voxels.
                if ray[axis] == 0.0:
                    if source[axis] <= -1.0 or source[axis] >= last:
                        far = -1.0
                else:
                    one, other = (-1.0 - source[axis]) / ray[axis], (last - source[axis]) / ray[axis]
                    near, far = max(near, min(one, other)), min(far, max(one, other))
            if far <= near:
                continue
            length = math.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2) * (far - near)
            steps = math.ceil(length * fineness)
            water, bone = 0.0, 0.0
            for step in range(steps):
                along = near + (far - near) * (step + 0.5) / steps
                x, y, z = source[0] + along * ray[0], source[1] + along * ray[1], source[2] + along * ray[2]
                left, front, low = math.floor(x), math.floor(y), math.floor(z)
                for corner_of in range(8):
                    i, j, k = left + (corner_of & 1), front + (corner_of >> 1 & 1), low + (corner_of >> 2)
                    if 0 <= i < tissues.shape[2] and 0 <= j < tissues.shape[1] and 0 <= k < tissues.shape[0]:
                        share = (1 - abs(x - i)) * (1 - abs(y - j)) * (1 - abs(z - k))
                        water += share * tissues[k, j, i, 0]
                        bone += share * tissues[k, j, i, 1]
            paths[0, row, column] = water * length / steps
            paths[1, row, column] = bone * length / steps
