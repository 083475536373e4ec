"""Virtual hospitals: stand-in archives of true DICOM CT series, without a single patient in them."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage

from client.virtual_hospital.faults import Fault
from client.virtual_hospital.identifiers import digest, virtual_uid
from client.virtual_hospital.scanner_style import Acquisition, ScannerStyle, acquire
from client.virtual_hospital.virtual_anatomy import VirtualAnatomy
from client.virtual_hospital.virtual_object import virtual_object
from common.errors import ExitCode, Refusal
from common.files import disk_refusals

MAXIMUM_PATIENTS = 10_000
MINIMUM_MATRIX, MAXIMUM_MATRIX = 64, 1024
_LOWEST_STORED, _HIGHEST_STORED = -(2**15), 2**15 - 1
_STUDY_TIME = "120000"


@final
@dataclass(frozen=True)
class VirtualArchive:
    """What was written: numbers of patients, series and files."""

    patients: int
    series: int
    files: int


def write_virtual_archive(
    root: Path,
    *,
    patients: int,
    style: ScannerStyle,
    seed: int,
    head: Path | None = None,
    matrix: int = 256,
    faults: Sequence[Fault] = (),
    progress: Callable[[int, int], None] | None = None,
) -> VirtualArchive:
    """Write one CT series per virtual patient below ``root``, in nested folders whose names mean nothing.

    Equal arguments give equal bytes. Every file carries an evidently invented patient name and says in its header that
    no patient is in it.

    Args:
        root: new or empty folder.
        patients: number of series, 1 to 10000.
        style: the scanner.
        seed: at least 0; every patient's anatomy, scan and identifiers derive from it.
        head: a real head, as :class:`VirtualAnatomy` takes it, that every patient is a deformation of; without it each
            patient is a procedural head.
        matrix: pixels along each side of a slice, 64 to 1024; the field of view is the style's whatever the matrix.
        faults: of the last patients' series, one each in this order; at most as many as patients.
        progress: called with (patients written, patients) after each patient.

    Raises:
        Refusal: ``SETTINGS_INVALID`` for numbers out of range, ``DISK_UNWRITABLE`` if the folder is not empty or cannot
            be written, ``DISK_FULL``, and what reading ``head`` refuses.
    """
    _check(patients, seed, matrix)
    if len(faults) > patients:
        mend = f"write {len(faults)} patients or more: each fault has one of its own"
        raise Refusal(ExitCode.SETTINGS_INVALID, f"{len(faults)} faults", where=f"{patients} patients", mend=mend)
    _prepare(root)
    anatomy = VirtualAnatomy(style, seed, head, matrix)
    files = 0
    for number in range(1, patients + 1):
        volume, voxel_mm = anatomy.patient(number)
        acquisition = acquire(volume, voxel_mm, style, anatomy.seed_of(number), matrix=matrix)
        place = number - 1 - (patients - len(faults))
        fault = faults[place] if place >= 0 else None
        files += write_series(root, acquisition, style, seed=seed, number=number, fault=fault)
        if progress is not None:
            progress(number, patients)
    return VirtualArchive(patients=patients, series=patients, files=files)


def _check(patients: int, seed: int, matrix: int) -> None:
    for name, value, low, high in (
        ("patients", patients, 1, MAXIMUM_PATIENTS),
        ("seed", seed, 0, 2**63 - 1),
        ("matrix", matrix, MINIMUM_MATRIX, MAXIMUM_MATRIX),
    ):
        if not low <= value <= high:
            mend = f"choose {low} to {high}"
            raise Refusal(ExitCode.SETTINGS_INVALID, f"{name} is out of range", where=str(value), mend=mend)


def _prepare(root: Path) -> None:
    with disk_refusals(root):
        root.mkdir(parents=True, exist_ok=True)
        empty = next(root.iterdir(), None) is None
    if not empty:
        mend = "name a new or an empty folder: archives are not mixed"
        raise Refusal(ExitCode.DISK_UNWRITABLE, "the archive's folder is not empty", where=str(root), mend=mend)


def write_series(
    root: Path,
    acquisition: Acquisition,
    style: ScannerStyle,
    *,
    seed: int,
    number: int,
    fault: Fault | None = None,
) -> int:
    """Write one scan as a DICOM series in nested folders below ``root``.

    Args:
        root: existing folder.
        acquisition: the scan; its z is shifted by a table position drawn from the seed, as x and y are kept.
        style: the scanner it came from.
        seed: the archive's; with ``number`` it decides identifiers and names.
        number: the patient's, from 1.
        fault: what is wrong with the series.

    Returns:
        Number of files written.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    names = digest(seed, "folders", number).hex()
    folder = root / names[:2] / names[2:10] / names[10:16]
    with disk_refusals(root):
        folder.mkdir(parents=True, exist_ok=True)
    images = _images(acquisition, style, seed, number)
    if fault is not None:
        images = iter(fault.change([copy.deepcopy(image) for image in images]))
    files = 0
    for files, image in enumerate(images, start=1):
        buffer = io.BytesIO()
        dcmwrite(buffer, image, enforce_file_format=True)
        name = digest(seed, "file", number, files - 1).hex()[:8].upper()
        with disk_refusals(root):
            (folder / name).write_bytes(buffer.getvalue())
    return files


def _images(acquisition: Acquisition, style: ScannerStyle, seed: int, number: int) -> Iterator[Dataset]:
    """The series' objects from inferior to superior: one dataset, changed from slice to slice."""
    dataset = _series_header(acquisition, style, seed, number)
    # A table position of its own for each patient, as scanners have.
    table_mm = -1000.0 + int.from_bytes(digest(seed, "table", number)[:2], "big") / 2**16 * 400.0
    for index, plane in enumerate(acquisition.slices_hu):
        _describe_slice(dataset, acquisition, (seed, number, index), table_mm)
        stored = plane.astype(np.int32) - style.rescale_intercept
        dataset.PixelData = np.clip(stored, _LOWEST_STORED, _HIGHEST_STORED).astype("<i2").tobytes()
        yield dataset


def _series_header(acquisition: Acquisition, style: ScannerStyle, seed: int, number: int) -> Dataset:
    """Attributes that all slices share: types 1 and 2 of the CT Image IOD (PS3.3 A.3) and what scanners add."""
    rows, columns = acquisition.slices_hu.shape[1:]
    dataset = virtual_object(seed, number, time_of_day=_STUDY_TIME)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyID, dataset.SeriesNumber, dataset.AcquisitionNumber = "1", 2, 1
    dataset.StudyDescription = "VIRTUAL HEAD"
    dataset.SeriesDescription = "VIRTUAL HEAD CT"
    dataset.StudyInstanceUID = virtual_uid(seed, "study", number)
    dataset.SeriesInstanceUID = virtual_uid(seed, "series", number)
    dataset.FrameOfReferenceUID = virtual_uid(seed, "frame", number)
    dataset.PositionReferenceIndicator = ""
    dataset.Modality, dataset.BodyPartExamined, dataset.PatientPosition = "CT", "HEAD", "HFS"
    dataset.Manufacturer, dataset.ManufacturerModelName = style.manufacturer, style.model
    dataset.ConvolutionKernel, dataset.KVP = style.kernel, f"{style.kvp:g}"
    dataset.GantryDetectorTilt = f"{style.gantry_tilt_deg:g}"
    dataset.ReconstructionDiameter = dataset.DataCollectionDiameter = f"{acquisition.pixel_mm * columns:.4f}"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelSpacing = [f"{acquisition.pixel_mm:.7g}"] * 2
    dataset.ImageOrientationPatient = [_decimal(cosine) for cosine in acquisition.orientation]
    dataset.PixelPaddingValue = style.padding_hu - style.rescale_intercept
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(style.rescale_intercept), "1", "HU"
    dataset.WindowCenter, dataset.WindowWidth = "40", "80"
    return dataset


def _describe_slice(
    dataset: Dataset, acquisition: Acquisition, identity: tuple[int, int, int], table_mm: float
) -> None:
    seed, number, index = identity
    uid = virtual_uid(seed, "instance", number, index)
    dataset.SOPInstanceUID = uid
    dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.InstanceNumber = index + 1
    dataset.SliceThickness = f"{acquisition.thickness_mm[index]:g}"
    x, y, z = acquisition.positions_mm[index]
    dataset.ImagePositionPatient = [_decimal(x), _decimal(y), _decimal(z + table_mm)]
    middle = z + table_mm + acquisition.orientation[5] * acquisition.pixel_mm * (dataset.Rows - 1) / 2
    dataset.SliceLocation = _decimal(middle)


def _decimal(value: float) -> str:
    """A number as a DICOM decimal string of at most 16 characters."""
    return f"{value:.7f}"
