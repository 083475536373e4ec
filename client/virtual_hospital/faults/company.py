"""What else stands in a series beside its stack: strays, repeats, another scan, another patient."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from client.virtual_hospital.faults.fault import Fault, Slices, copied, derived_uid, hu_of, move, step_mm, store_hu

TRACKED, REFORMATS = 6, 8
_AIR_HU = -1000
_CORONAL, _SAGITTAL = ["1", "0", "0", "0", "0", "-1"], ["0", "1", "0", "0", "0", "-1"]


def _with_scouts(slices: Slices) -> Slices:
    """Two localizers without the word for it."""
    scouts = []
    for number, orientation in enumerate((_CORONAL, _SAGITTAL)):
        scout = copied(slices[0], f"scout{number}")
        stack = np.stack([hu_of(image) for image in reversed(slices)])
        projected = np.resize(stack.mean(axis=1 + number), (scout.Rows, scout.Columns))
        store_hu(scout, projected)
        scout.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        scout.ImageOrientationPatient, scout.InstanceNumber = orientation, 900 + number
        scouts.append(scout)
    return [*scouts, *slices]


def _with_dose_page(slices: Slices) -> Slices:
    page = copied(slices[0], "dose")
    store_hu(page, np.zeros((page.Rows, page.Columns), dtype=np.int32))
    page.ImageType, page.InstanceNumber = ["DERIVED", "SECONDARY", "OTHER"], 999
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        delattr(page, keyword)
    return [*slices, page]


def _with_reformats(slices: Slices) -> Slices:
    """Coronal reformats under the series' own identifier, through the middle of the head, without the word for it."""
    stack = np.stack([hu_of(image) for image in reversed(slices)])
    row_mm, column_mm = (float(spacing) for spacing in slices[0].PixelSpacing)
    rows, columns = stack.shape[1:]
    top = [float(value) for value in slices[-1].ImagePositionPatient]
    reformats = []
    for number in range(REFORMATS):
        image = copied(slices[0], f"cor{number}")
        row = round(rows * (0.3 + 0.4 * number / REFORMATS))
        along = step_mm(slices) / column_mm
        zoomed = ndimage.zoom(stack[:, row].astype(np.float32), (along, 1.0), order=1, mode="nearest")
        plane = np.full((rows, columns), _AIR_HU, dtype=np.float32)
        plane[: len(zoomed)] = zoomed[:rows]
        store_hu(image, plane)
        image.ImageOrientationPatient, image.InstanceNumber = _CORONAL, 800 + number
        image.ImagePositionPatient = [f"{top[0]:.6f}", f"{top[1] + row * row_mm:.6f}", f"{top[2]:.6f}"]
        reformats.append(image)
    return [*slices, *reformats]


def _with_bolus_tracking(slices: Slices) -> Slices:
    """One place again and again, thick and noisy, while the contrast agent comes."""
    rng = np.random.default_rng(TRACKED)
    tracked = []
    for number in range(TRACKED):
        image = copied(slices[2], f"bolus{number}")
        hu = hu_of(image)
        store_hu(image, np.where(hu > -900, hu + rng.normal(0, 40, hu.shape), hu))
        image.SliceThickness, image.InstanceNumber, image.AcquisitionNumber = "10", 700 + number, 7
        image.AcquisitionTime = f"1159{number:02d}"
        tracked.append(image)
    return [*tracked, *slices]


def _sent_twice(slices: Slices) -> Slices:
    """Every object again with the same identifiers and another header."""
    again = [copied(image, "") for image in slices]
    for image, other in zip(slices, again, strict=True):
        other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        other.InstitutionName = "ANOTHER NODE"
    return [*slices, *again]


def _sent_twice_renamed(slices: Slices) -> Slices:
    return [*slices, *(copied(image, "again") for image in slices)]


def _numbers_restart(slices: Slices) -> Slices:
    half = len(slices) // 2
    for index, image in enumerate(slices):
        image.AcquisitionNumber = 1 + index // half if index < 2 * half else 2
        image.InstanceNumber = 1 + index - half * (image.AcquisitionNumber - 1)
    return slices


def _series_for_each_slice(slices: Slices) -> Slices:
    for image in slices:
        image.SeriesInstanceUID = derived_uid(image.SOPInstanceUID, "series")
    return slices


def _half_a_step_on(slices: Slices, label: str) -> Slices:
    others = [copied(image, label) for image in slices]
    for image in others:
        move(image, (0.0, 0.0, step_mm(slices) / 2))
    return others


def _two_patients(slices: Slices) -> Slices:
    """Another head half a step on, larger and with an identifier of its own."""
    others = _half_a_step_on(slices, "other")
    for image in others:
        hu = hu_of(image)
        middle = (np.array(hu.shape) - 1) / 2
        store_hu(image, ndimage.affine_transform(hu, [0.93, 0.93], middle * 0.07, order=1, cval=-1000))
        image.PatientID = f"{image.PatientID}-B"
    return [*slices, *others]


def _two_acquisitions(slices: Slices) -> Slices:
    """Before and after contrast, half a step apart; the patient moved between them."""
    others = _half_a_step_on(slices, "after")
    for image in others:
        store_hu(image, ndimage.shift(hu_of(image), (2, 3), order=1, mode="nearest"))
        image.AcquisitionNumber, image.AcquisitionTime, image.ContrastBolusAgent = 2, "120500", "IOMEPROL"
    return [*slices, *others]


FAULTS = (
    Fault("two-patients", "two patients under one series UID, half a step apart", False, _two_patients),
    Fault("two-acquisitions", "before and after contrast in one series", True, _two_acquisitions),
    Fault("scouts", "two localizers without the word for it", True, _with_scouts),
    Fault("dose-page", "a dose page in the series", True, _with_dose_page),
    Fault("reformats", "coronal reformats in the series", True, _with_reformats),
    Fault("bolus-tracking", "images of bolus tracking in the series", True, _with_bolus_tracking),
    Fault("sent-twice", "every object twice, with another header", True, _sent_twice),
    Fault("sent-twice-renamed", "every object twice, with new identifiers", True, _sent_twice_renamed),
    Fault("numbers-restart", "instance numbers begin again with each block", True, _numbers_restart),
    Fault("series-for-each-slice", "every slice has a series UID of its own", True, _series_for_each_slice),
)
