"""Scattered light in a film, estimated from the film itself and taken away before the logarithm.

What scatters is what interacts, P times -ln P of the primary P, and it spreads over centimetres. How much of it reaches
the detector no header says: the mean ratio of scatter to primary behind the head is a figure of the room.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

SPREAD_MM: Final = 45.0
_CELL_MM: Final = 5.0
_ROUNDS: Final = 12
# Of the way to the next estimate: taken whole, dark pixels swing between all scatter and none without a grid.
_STRIDE: Final = 0.5
_MOSTLY: Final = 0.99
# What is thicker than so much attenuation belongs to the head, for the mean ratio.
_HEAD_ABOVE: Final = 0.5
# At least so much of a pixel's light is primary, however dark it is.
_LEAST_PRIMARY: Final = 0.05


def without_scatter(integrals: Image, exposed: Mask, pixel_mm: float, scatter_to_primary: float) -> Image:
    """Line integrals of the primary alone.

    Args:
        integrals: (row, column) of a film, scatter included.
        exposed: (row, column), where it was exposed.
        pixel_mm: at the detector.
        scatter_to_primary: mean ratio behind the head, at the detector; 0 leaves the film as it is.
    """
    if scatter_to_primary == 0:
        return integrals
    light = np.exp(-integrals.astype(np.float64))
    block = max(1, min(round(_CELL_MM / pixel_mm), min(light.shape) // 8))
    coarse, field = _means(light, block), _means(exposed.astype(np.float64), block)
    scatter = _scatter(coarse, field, pixel_mm * block, scatter_to_primary)
    rows, columns = (
        np.clip((np.arange(edge) + 0.5) / block - 0.5, 0, cells - 1)
        for edge, cells in zip(light.shape, coarse.shape, strict=True)
    )
    smooth = ndimage.map_coordinates(scatter, np.meshgrid(rows, columns, indexing="ij"), order=1)
    return np.asarray(-np.log(np.maximum(light - smooth, _LEAST_PRIMARY * light)), dtype=np.float32)


def _scatter(light: NDArray[np.float64], field: NDArray[np.float64], cell_mm: float, ratio: float) -> Image:
    """Scatter that is consistent with what is left of the light once it is taken away."""
    primary, scatter = light, np.zeros_like(light)
    for _ in range(_ROUNDS):
        interacting = np.maximum(-primary * np.log(np.clip(primary, 1e-9, 1.0)), 0.0) * field
        spread = ndimage.gaussian_filter(interacting, SPREAD_MM / cell_mm, mode="constant")
        head = (primary < np.exp(-_HEAD_ABOVE)) & (field > _MOSTLY)
        if not head.any():
            return np.asarray(np.zeros_like(light), dtype=np.float32)
        scatter = scatter + _STRIDE * (spread * (ratio / (spread / primary)[head].mean()) - scatter)
        primary = np.maximum(light - scatter, _LEAST_PRIMARY * light)
    return np.asarray(scatter, dtype=np.float32)


def _means(image: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """Means over square blocks, those at the lower and right edge filled up with the edge's pixels."""
    missing = [(0, -edge % block) for edge in image.shape]
    padded = np.pad(image, missing, mode="edge")
    rows, columns = (edge // block for edge in padded.shape)
    return np.asarray(padded.reshape(rows, block, columns, block).mean(axis=(1, 3)))
