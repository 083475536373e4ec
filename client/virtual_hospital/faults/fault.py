"""What a fault is: one thing about a series that is not as it should be, as archives hold it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

Slices = list[Dataset]
HuImage = NDArray[np.int32]
_LOWEST, _HIGHEST = -(2**15), 2**15 - 1


@final
@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: its key.
        text: what is not as it should be, in a line.
        harmless: whether the head is still what it was, so that a hospital must not lose it.
        change: makes a series with the fault of a sound one, its objects from inferior to superior; the sound one's
            objects may be changed in place.
    """

    name: str
    text: str
    harmless: bool
    change: Callable[[Slices], Slices]


def hu_of(image: Dataset) -> HuImage:
    """The HU of an image as a virtual scanner wrote it: (row, column)."""
    stored = np.frombuffer(image.PixelData, "<i2").reshape(image.Rows, image.Columns)
    return stored.astype(np.int32) + int(float(image.RescaleIntercept))


def store_hu(image: Dataset, hu: HuImage | NDArray[np.floating]) -> None:
    """Store HU with the image's own intercept, as 16 signed bits."""
    image.Rows, image.Columns = hu.shape
    stored = np.clip(np.rint(hu) - int(float(image.RescaleIntercept)), _LOWEST, _HIGHEST)
    image.PixelData = stored.astype("<i2").tobytes()


def store_bits(image: Dataset, stored: NDArray[np.integer], *, bits: int, signed: bool, intercept: int) -> None:
    """Store values as they are, in the lowest bits of 16."""
    image.BitsStored, image.HighBit, image.PixelRepresentation = bits, bits - 1, int(signed)
    image.RescaleIntercept = str(intercept)
    image.PixelData = (stored.astype(np.int64) & 0xFFFF).astype("<u2").tobytes()


def copied(image: Dataset, label: str) -> Dataset:
    """The image as another object: equal labels of equal images give equal identifiers."""
    other = copy.deepcopy(image)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = derived_uid(image.SOPInstanceUID, label)
    return other


def set_as_found(image: Dataset, keyword: str, value: object) -> None:
    """Give an attribute a value that DICOM does not allow, as archives hold it."""
    image[keyword] = DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE)


def derived_uid(uid: UID, label: str) -> UID:
    """Another UID below 2.25 that follows from one and a word."""
    number = int(str(uid).rsplit(".", 1)[1])
    word = int.from_bytes(label.encode("ascii")[-8:], "big")
    # Version and variant of the UUID keep their bits.
    return UID(f"2.25.{number ^ (word & 0xFFFFFFFFFFF)}")


def move(image: Dataset, millimetres: Sequence[float]) -> None:
    """Move an image's recorded position."""
    image.ImagePositionPatient = [
        f"{float(place) + step:.6f}" for place, step in zip(image.ImagePositionPatient, millimetres, strict=True)
    ]


def step_mm(slices: Slices) -> float:
    """Distance between the first two images along z."""
    return float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
