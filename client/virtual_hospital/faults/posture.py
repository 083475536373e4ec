"""A head that lies otherwise than its series says."""

from __future__ import annotations

import numpy as np

from client.virtual_hospital.faults.fault import Fault, Slices, hu_of, store_hu


def _face_behind(slices: Slices) -> Slices:
    for image in slices:
        store_hu(image, np.rot90(hu_of(image), 2))
    return slices


def _on_its_side(slices: Slices) -> Slices:
    for image in slices:
        store_hu(image, np.rot90(hu_of(image)))
    return slices


def _upside_down(slices: Slices) -> Slices:
    """Turned by half a turn about the left axis: slices and rows run the other way."""
    turned = [np.flipud(hu_of(image)) for image in reversed(slices)]
    for image, hu in zip(slices, turned, strict=True):
        store_hu(image, hu)
    return slices


def _mirrored_back_to_front(slices: Slices) -> Slices:
    for image in slices:
        store_hu(image, np.flipud(hu_of(image)))
    return slices


FAULTS = (
    Fault("face-behind", "the patient lay on the face, recorded supine", False, _face_behind),
    Fault("on-its-side", "the patient lay on the side, recorded supine", False, _on_its_side),
    Fault("upside-down", "the patient lay feet first, recorded head first", False, _upside_down),
    Fault("mirrored", "images are mirrored from front to back", False, _mirrored_back_to_front),
)
