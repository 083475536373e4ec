"""Slices that lie otherwise than their headers say: tilt, orientation and positions against the images."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from client.virtual_hospital.faults.fault import Fault, Slices, hu_of, move, step_mm, store_hu

TILT_DEG = 18.0
BLOCK_MM = 5.0
JITTER = 9e-4
_AIR_HU = -1000


def _sheared(slices: Slices, tilt_deg: float) -> None:
    """The images of a tilted gantry whose slices are recorded as axial ones: each moved down with its height."""
    middle = (len(slices) - 1) / 2
    rows = np.tan(np.deg2rad(tilt_deg)) * step_mm(slices) / float(slices[0].PixelSpacing[0])
    for index, image in enumerate(slices):
        shift = (index - middle) * rows
        store_hu(image, ndimage.shift(hu_of(image), (shift, 0), order=1, mode="constant", cval=_AIR_HU))


def _tilt_in_the_tag_alone(slices: Slices) -> Slices:
    _sheared(slices, TILT_DEG)
    for image in slices:
        image.GantryDetectorTilt = f"{TILT_DEG:g}"
    return slices


def _tilt_of_the_wrong_sign(slices: Slices) -> Slices:
    """Tilted images whose orientation and positions lean the other way."""
    _sheared(slices, TILT_DEG)
    lean = np.deg2rad(TILT_DEG)
    for image in slices:
        image.GantryDetectorTilt = f"{-TILT_DEG:g}"
        image.ImageOrientationPatient = ["1", "0", "0", "0", f"{np.cos(lean):.7f}", f"{np.sin(lean):.7f}"]
    return slices


def _tilt_corrected(slices: Slices) -> Slices:
    """A scanner that evens the tilt out, and leaves it in the tag."""
    for image in slices:
        image.GantryDetectorTilt = f"{TILT_DEG:g}"
    return slices


def _block_moved_sideways(slices: Slices) -> Slices:
    for image in slices[len(slices) // 2 :]:
        move(image, (BLOCK_MM, 0.0, 0.0))
    return slices


def _orientation_jitters(slices: Slices) -> Slices:
    for index, image in enumerate(slices):
        lean = JITTER * (-1, 0, 1)[index % 3]
        row, column = np.reshape([float(cosine) for cosine in image.ImageOrientationPatient], (2, 3))
        image.ImageOrientationPatient = [f"{cosine:.6f}" for cosine in (*(row + lean * column), *(column - lean * row))]
    return slices


def _spacing_rounded_two_ways(slices: Slices) -> Slices:
    for image in slices[::2]:
        image.PixelSpacing = [f"{float(spacing) * 1.00007:.7g}" for spacing in image.PixelSpacing]
    return slices


FAULTS = (
    Fault(
        "tilt-in-tag-alone", "a tilt that the images have and the orientation has not", False, _tilt_in_the_tag_alone
    ),
    Fault(
        "tilt-of-wrong-sign", "orientation and tilt lean one way, the images the other", False, _tilt_of_the_wrong_sign
    ),
    Fault("block-moved", "the upper half's positions lie 5 mm sideways", False, _block_moved_sideways),
    Fault("tilt-corrected", "a tilt is stated that the images no longer have", True, _tilt_corrected),
    Fault("orientation-jitters", "orientation differs in its third digit between slices", True, _orientation_jitters),
    Fault("spacing-jitters", "pixel spacing is rounded in two ways", True, _spacing_rounded_two_ways),
)
