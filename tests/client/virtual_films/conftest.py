"""One virtual head and the geometry that films it, turned and shifted, with fewer pixels across than down."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from client.phantom import procedural_head
from common.geometry import Geometry, Grid, Pose

GRID = Grid(shape=(128, 128, 128), voxel_mm=1.8)


@pytest.fixture(scope="session")
def head_hu() -> NDArray[np.float32]:
    """An asymmetric head with findings, its edges as soft as a scanner's."""
    sharp = procedural_head(3, GRID).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(sharp, 0.7), dtype=np.float32)


@pytest.fixture(scope="session")
def posed_geometry() -> Geometry:
    return Geometry(
        detector_shape=(112, 96),
        pixel_mm=3.2,
        frontal_offset_mm=(6.0, -9.0),
        frontal_pose=Pose(pitch_deg=6, yaw_deg=-5, translation_mm=(8, 0, 4)),
        lateral_pose=Pose(roll_deg=4, translation_mm=(0, -7, 3)),
    )
