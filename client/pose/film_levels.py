"""A film as coarse as a coarse head's DRR: the same blur, and a mask that keeps away from every edge of the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.radiographs import Film, Origin
from common.geometry import MINIMUM_CELLS

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# A pixel at the detector, in voxels of the head as the geometry magnifies them.
_PIXEL_OF_VOXEL: Final = 0.65
# SD of what a head of such voxels is blurred by: the mean over a voxel, reading between voxels, the scanner.
_BLUR_OF_VOXEL: Final = 0.6
_BLUR_OF_PIXEL: Final = 0.29
# So many pixels within the field's edge do not count: its penumbra is no part of the head.
MARGIN_PIXELS: Final = 2


@final
@dataclass(frozen=True)
class FilmLevel:
    """A film in larger pixels.

    Attributes:
        integrals: (row, column) line integrals.
        counted: (row, column), pixels well within the exposed field.
        pixel_mm: their edge at the detector.
        offset_mm: their middle from the film's, towards (superior, along the columns).
    """

    integrals: Image
    counted: Mask
    pixel_mm: float
    offset_mm: tuple[float, float]


def detector_pixel_mm(film: Film) -> float:
    """The edge of a film's pixels at the detector."""
    at_patient = film.geometry.spacing_origin is Origin.CALIBRATED
    return film.pixel_mm * (film.geometry.magnification if at_patient else 1.0)


def film_level(film: Film, voxel_mm: float, magnification: float) -> FilmLevel:
    """A film as a head of such voxels can show it.

    Args:
        film: as it was read.
        voxel_mm: edge of the head's voxels.
        magnification: of the head on the detector.
    """
    own_mm = detector_pixel_mm(film)
    counted = ndimage.binary_erosion(film.exposed, iterations=MARGIN_PIXELS)
    filled = _nearest(film.integrals, counted)
    most = min(film.integrals.shape) // MINIMUM_CELLS
    block = min(max(1, round(_PIXEL_OF_VOXEL * voxel_mm * magnification / own_mm)), max(most, 1))
    rows, columns = (edge // block for edge in filled.shape)
    pixel_mm = own_mm * block
    whole = _blocks(counted.astype(np.float32), block) > 1 - 1e-3
    kept = ndimage.binary_erosion(whole, iterations=MARGIN_PIXELS)
    wanted, present = _BLUR_OF_VOXEL * voxel_mm * magnification, _BLUR_OF_PIXEL * pixel_mm
    blur_pixels = max(wanted**2 - present**2, 0.0) ** 0.5 / pixel_mm
    blurred = ndimage.gaussian_filter(_blocks(filled, block), blur_pixels, mode="nearest")
    beyond = [(edge - cells * block) / 2 * own_mm for edge, cells in zip(filled.shape, (rows, columns), strict=True)]
    return FilmLevel(np.asarray(blurred, dtype=np.float32), kept, pixel_mm, (beyond[0], -beyond[1]))


def _blocks(image: Image, block: int) -> Image:
    """Means over square blocks; what is left over at the lower and right edge is left out."""
    rows, columns = (edge // block for edge in image.shape)
    parts = image[: rows * block, : columns * block].reshape(rows, block, columns, block)
    return np.asarray(parts.mean(axis=(1, 3)), dtype=np.float32)


def _nearest(image: Image, inside: Mask) -> Image:
    if not inside.any():
        return image
    _, places = ndimage.distance_transform_edt(~inside, return_indices=True)
    filled: Image = image[tuple(places)]
    return filled
