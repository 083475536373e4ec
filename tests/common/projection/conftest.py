from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.projection.scene import view_rays
from common.geometry import Geometry

Tracer = Callable[[np.ndarray, tuple[float, float, float], Geometry], np.ndarray]


@pytest.fixture
def traced() -> Tracer:
    """Plain ray tracer: (z, y, x) volume, spacing (z, y, x) in mm and geometry to (2, rows, columns)."""
    return _traced


def _traced(volume: np.ndarray, spacing_mm: tuple[float, float, float], scene: Geometry) -> np.ndarray:
    """Joseph's method with cubic interpolation, ray by ray and plane by plane, from a source point to a pixel point."""
    images = np.zeros((2, *scene.detector_shape))
    spacing = np.array(spacing_mm)
    middle = (np.array(volume.shape) - 1) / 2
    for view, rays in enumerate(view_rays(scene)):
        along, across = (1, 2) if view == 0 else (2, 1)
        source = rays.source_mm[::-1]
        for row, column in np.ndindex(*scene.detector_shape):
            direction = rays.pixels_mm[row, column, ::-1] - source
            for plane in range(volume.shape[along]):
                reach = ((plane - middle[along]) * spacing[along] - source[along]) / direction[along]
                at = (source + reach * direction) / spacing + middle
                for z in range(int(np.floor(at[0])) - 1, int(np.floor(at[0])) + 3):
                    for side in range(int(np.floor(at[across])) - 1, int(np.floor(at[across])) + 3):
                        if 0 <= z < volume.shape[0] and 0 <= side < volume.shape[across]:
                            value = volume[z, plane, side] if view == 0 else volume[z, side, plane]
                            images[view, row, column] += _keys(at[0] - z) * _keys(at[across] - side) * value
            images[view, row, column] *= spacing[along] * np.linalg.norm(direction) / abs(direction[along])
    return images


def _keys(distance: float) -> float:
    """Keys' kernel as his paper writes it, equation 15."""
    s = abs(distance)
    if s < 1:
        return 3 / 2 * s**3 - 5 / 2 * s**2 + 1
    return -1 / 2 * s**3 + 5 / 2 * s**2 - 4 * s + 2 if s < 2 else 0.0
