"""A synthetic volume as a DICOM CT series that says on every slice what it is."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from common.errors import ExitCode, Refusal
from common.files import disk_refusals, make_folder, write_atomic
from common.geometry import Grid

MARK = "SYNTHETIC – RESEARCH USE ONLY"


def write_synthetic_ct(folder: Path, volume_hu: NDArray[np.int16], grid: Grid, provenance: str) -> tuple[Path, ...]:
    """Write a CT series (DICOM PS3.3 A.3), one axial slice a file, inferior first, readable by its owner alone.

    Stored values are HU. Positions are DICOM LPS with the grid's centre as origin. No patient is named.

    Args:
        folder: created; must not hold files, so that two series never mix.
        volume_hu: (z, y, x), indices growing to superior, posterior and left.
        grid: the volume's grid.
        provenance: what made the volume, e.g. the study's and the generator's digests; goes to Derivation Description.

    Returns:
        The files, inferior to superior.

    Raises:
        Refusal: ``USAGE`` if the folder holds files, ``IMAGE_INVALID`` if the volume is not on the grid, ``DISK_FULL``
            or ``DISK_UNWRITABLE``.
    """
    if volume_hu.shape != grid.shape:
        mend = "synthesize with the study whose grid this is"
        raise Refusal(ExitCode.IMAGE_INVALID, f"volume of shape {volume_hu.shape}", where="synthetic CT", mend=mend)
    make_folder(folder)
    with disk_refusals(folder):
        occupied = any(folder.iterdir())
    if occupied:
        raise Refusal(ExitCode.USAGE, "folder is not empty", where=str(folder), mend="name a new folder")
    common = _common(grid, provenance, datetime.now().astimezone())
    paths = []
    for index, plane in enumerate(volume_hu):
        path = folder / f"slice-{index + 1:04d}.dcm"
        write_atomic(path, _slice_bytes(common, plane, index, grid))
        paths.append(path)
    return tuple(paths)


def _common(grid: Grid, provenance: str, now: datetime) -> Dataset:
    """Attributes shared by every slice."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ds.InstanceCreationDate = ds.StudyDate = ds.SeriesDate = ds.ContentDate = now.strftime("%Y%m%d")
    ds.InstanceCreationTime = ds.StudyTime = ds.SeriesTime = ds.ContentTime = now.strftime("%H%M%S")
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "TomoRay Federated", "lifting generator"
    ds.PatientName, ds.PatientID, ds.PatientIdentityRemoved = "SYNTHETIC^RESEARCH", "SYNTHETIC", "YES"
    ds.DeidentificationMethod = "made without patient attributes"
    for empty in ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "AccessionNumber", "StudyID"):
        setattr(ds, empty, "")
    ds.KVP = ds.AcquisitionNumber = None
    ds.PositionReferenceIndicator, ds.PatientPosition, ds.BodyPartExamined = "", "HFS", "HEAD"
    ds.StudyDescription = ds.SeriesDescription = ds.ImageComments = MARK
    ds.DerivationDescription = f"{MARK}. {provenance}"
    ds.ContentQualification, ds.BurnedInAnnotation, ds.LossyImageCompression = "RESEARCH", "NO", "00"
    ds.SeriesNumber = 1
    _, ds.Rows, ds.Columns = grid.shape
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [grid.voxel_mm, grid.voxel_mm]
    ds.SliceThickness = ds.SpacingBetweenSlices = grid.voxel_mm
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400
    return ds


def _slice_bytes(common: Dataset, plane: NDArray[np.int16], index: int, grid: Grid) -> bytes:
    """One slice as a DICOM file."""
    z_mm, y_mm, x_mm = (grid.centres_mm(axis) for axis in range(3))
    uid = generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", common, preamble=b"\0" * 128, file_meta=meta)
    ds.SOPInstanceUID, ds.InstanceNumber = uid, index + 1
    ds.ImagePositionPatient = [round(float(c), 6) for c in (x_mm[0], y_mm[0], z_mm[index])]
    ds.SliceLocation = round(float(z_mm[index]), 6)
    ds.PixelData = np.ascontiguousarray(plane, dtype="<i2").tobytes()
    stream = io.BytesIO()
    dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()
