"""Values that are no HU, or HU stored in a way that hides some of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from client.virtual_hospital.faults.fault import Fault, HuImage, Slices, hu_of, set_as_found, store_bits, store_hu

# An implant of titanium in an extended scale, its edge as blurred and its noise as strong as scanners show them; what
# twelve bits store of it is −992.
METAL_HU = 7200.0
METAL_RADIUS_MM = 6.0
METAL_BLUR_MM, METAL_NOISE = 0.6, 0.02
METAL_SLICES = 3
NOISE_HU = 100.0
# Of the image's half edge: what lies beyond was not reconstructed.
RECONSTRUCTED = 0.9
_BODY_HU, _ROOM_PIXELS = -300, 2.0
_AIR_HU = -1000
_TWELVE_BITS = 1 << 12


def _beyond(slices: Slices) -> NDArray[np.bool_]:
    """Pixels outside a reconstructed circle smaller than the image's own, that never runs through the patient."""
    first = slices[0]
    rows, columns = np.ogrid[: first.Rows, : first.Columns]
    away = np.hypot(rows - (first.Rows - 1) / 2, columns - (first.Columns - 1) / 2)
    farthest = max(float(away[_patient(hu_of(image))].max(initial=0.0)) for image in slices)
    outside: NDArray[np.bool_] = away > max(RECONSTRUCTED * first.Rows / 2, farthest + _ROOM_PIXELS)
    return outside


def _patient(hu: HuImage) -> NDArray[np.bool_]:
    """The largest part of a slice that is denser than fat."""
    parts, count = ndimage.label(hu > _BODY_HU)
    largest: NDArray[np.bool_] = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])) if count else parts > 0
    return largest


def _air_beyond(image: Dataset, outside: NDArray[np.bool_]) -> HuImage:
    return np.where(outside, _AIR_HU, np.clip(hu_of(image), -1024, 3070))


def _metal_wrapped(slices: Slices) -> Slices:
    """Metal in the densest bone, far beyond what twelve bits hold, wrapped around to the lowest values."""
    rng = np.random.default_rng([len(slices), 0x3E7A1])
    for image in slices[len(slices) // 4 : len(slices) // 4 + METAL_SLICES]:
        hu, pixel_mm = hu_of(image), float(image.PixelSpacing[0])
        place = np.unravel_index(int(np.argmax(hu)), hu.shape)
        rows, columns = np.ogrid[: image.Rows, : image.Columns]
        inside_mm = METAL_RADIUS_MM - np.hypot(rows - place[0], columns - place[1]) * pixel_mm
        share = ndimage.gaussian_filter(np.clip(inside_mm / pixel_mm + 0.5, 0.0, 1.0), METAL_BLUR_MM / pixel_mm)
        metal = METAL_HU * rng.normal(1.0, METAL_NOISE, hu.shape)
        store_hu(image, hu + share * (metal - hu))
    for image in slices:
        stored = np.maximum(hu_of(image) + 1024, 0) % _TWELVE_BITS
        store_bits(image, stored, bits=12, signed=False, intercept=-1024)
        image.pop("PixelPaddingValue", None)
    return slices


def _padding_4095(slices: Slices) -> Slices:
    outside = _beyond(slices)
    for image in slices:
        stored = np.where(outside, 4095, np.maximum(_air_beyond(image, outside) + 1024, 0))
        store_bits(image, stored, bits=12, signed=False, intercept=-1024)
        image.PixelPaddingValue = 4095
    return slices


def _padding_beyond_the_bits(slices: Slices) -> Slices:
    """−3024 in twelve signed bits, which hold −2048 at least."""
    outside = _beyond(slices)
    for image in slices:
        stored = np.where(outside, -3024, np.clip(_air_beyond(image, outside), -2048, 2047))
        store_bits(image, stored, bits=12, signed=True, intercept=0)
        image.PixelPaddingValue = -3024
    return slices


def _padding_zero(slices: Slices) -> Slices:
    """0 said to be padding where 0 is water."""
    outside = _beyond(slices)
    for image in slices:
        store_bits(image, np.where(outside, 0, _air_beyond(image, outside)), bits=16, signed=True, intercept=0)
        image.PixelPaddingValue = 0
    return slices


def _noisy_air(slices: Slices) -> Slices:
    """A sharp kernel whose noise was not cut off below −1024."""
    rng = np.random.default_rng([len(slices), 0xA1])
    for image in slices:
        hu = np.maximum(hu_of(image), _AIR_HU)
        noise = np.where(hu < -900, rng.normal(0.0, NOISE_HU, hu.shape), 0.0)
        store_bits(image, np.rint(hu + noise) + 8192, bits=16, signed=False, intercept=-8192)
        image.pop("PixelPaddingValue", None)
    return slices


def _offset_lost(slices: Slices) -> Slices:
    for image in slices:
        store_bits(image, np.clip(hu_of(image), -1024, 3071) + 1024, bits=16, signed=True, intercept=0)
        image.pop("PixelPaddingValue", None)
    return slices


def _monoenergetic(slices: Slices) -> Slices:
    """At 40 keV bone and contrast are more than twice as bright."""
    for image in slices:
        hu = hu_of(image)
        store_hu(image, np.where(hu > 100, hu * 2.2, hu))
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "MONO_E_40"]
    return slices


def _material_map(slices: Slices) -> Slices:
    for image in slices:
        image.RescaleType = "MGML"
        set_as_found(image, "ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", "MATERIAL_FRACTION"])
    return slices


FAULTS = (
    Fault("metal-wrapped", "metal beyond twelve bits, wrapped to the lowest values", False, _metal_wrapped),
    Fault("offset-lost", "the offset of 1024 is lost", False, _offset_lost),
    Fault("monoenergetic", "a virtual image at 40 keV", False, _monoenergetic),
    Fault("material-map", "iodine in mg/ml, not HU", False, _material_map),
    Fault("padding-4095", "padding of 4095 within the image's circle, and stated", True, _padding_4095),
    Fault("padding-beyond-bits", "padding of -3024 in twelve signed bits", True, _padding_beyond_the_bits),
    Fault("padding-zero", "padding of 0 in signed HU", True, _padding_zero),
    Fault("noisy-air", "noise in air that nothing cuts off", True, _noisy_air),
)
