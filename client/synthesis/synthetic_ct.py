"""A synthetic volume as a DICOM CT series that says on every slice what it is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from client.synthesis.burned_mark import with_mark
from client.synthesis.series_origin import CT_SERIES_NUMBER, SeriesOrigin, new_uid
from common.errors import ExitCode, Refusal
from common.files import expect_no_content, make_folder, write_atomic
from common.geometry import Grid


def synthetic_slices(
    volume_hu: NDArray[np.int16], grid: Grid, provenance: str, origin: SeriesOrigin, *, burn_in: bool = False
) -> list[FileDataset]:
    """A CT series (DICOM PS3.3 A.3), one axial slice an object, inferior first.

    Stored values are HU. Positions are DICOM LPS with the grid's centre as origin, in a frame of reference of the
    series' own.

    Args:
        volume_hu: (z, y, x), indices growing to superior, posterior and left.
        grid: the volume's grid.
        provenance: what made the volume, e.g. the study's and the generator's digests; goes to Derivation Description.
        origin: whose it is.
        burn_in: whether the mark stands in the pixels of every slice as well.

    Raises:
        Refusal: ``IMAGE_INVALID`` if the volume is not on the grid, or leaves no corner free for the mark.
    """
    if volume_hu.shape != grid.shape:
        mend = "synthesize with the study whose grid this is"
        raise Refusal(ExitCode.IMAGE_INVALID, f"volume of shape {volume_hu.shape}", where="synthetic CT", mend=mend)
    volume_hu = with_mark(volume_hu) if burn_in else volume_hu
    common = _common(grid, provenance, origin)
    return [_slice(common, plane, index, grid) for index, plane in enumerate(volume_hu)]


def write_synthetic_ct(
    folder: Path, volume_hu: NDArray[np.int16], grid: Grid, provenance: str, origin: SeriesOrigin | None = None
) -> tuple[Path, ...]:
    """Write the series of :func:`synthetic_slices`, readable by its owner alone; without an origin it is nobody's.

    Args:
        folder: created; must not hold files, so that two series never mix.
        volume_hu: (z, y, x).
        grid: the volume's grid.
        provenance: what made the volume.
        origin: whose it is.

    Returns:
        The files, inferior to superior.

    Raises:
        Refusal: ``USAGE`` if the folder holds files, ``IMAGE_INVALID`` if the volume is not on the grid, ``DISK_FULL``
            or ``DISK_UNWRITABLE``.
    """
    slices = synthetic_slices(volume_hu, grid, provenance, origin or SeriesOrigin())
    expect_no_content(folder)
    make_folder(folder)
    return write_slices(folder, slices)


def write_slices(folder: Path, slices: list[FileDataset]) -> tuple[Path, ...]:
    """Write a series' objects into a folder that is there; their files in the same order.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    paths = []
    for number, dataset in enumerate(slices, 1):
        path = folder / f"slice-{number:04d}.dcm"
        write_atomic(path, dicom_bytes(dataset))
        paths.append(path)
    return tuple(paths)


def dicom_bytes(dataset: Dataset) -> bytes:
    """An object as a DICOM file."""
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _common(grid: Grid, provenance: str, origin: SeriesOrigin) -> Dataset:
    """Attributes shared by every slice."""
    ds = Dataset()
    origin.describe(ds, provenance)
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.SeriesInstanceUID, ds.FrameOfReferenceUID = new_uid(), new_uid()
    ds.SeriesNumber = CT_SERIES_NUMBER
    ds.KVP = ds.AcquisitionNumber = None
    ds.PositionReferenceIndicator = ""
    # A mark in the pixels names no patient, which is what Burned In Annotation (0028,0301) asks.
    ds.ContentQualification, ds.BurnedInAnnotation, ds.LossyImageCompression = "RESEARCH", "NO", "00"
    _, ds.Rows, ds.Columns = grid.shape
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [grid.voxel_mm, grid.voxel_mm]
    ds.SliceThickness = ds.SpacingBetweenSlices = grid.voxel_mm
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400
    return ds


def _slice(common: Dataset, plane: NDArray[np.int16], index: int, grid: Grid) -> FileDataset:
    """One slice as a DICOM object."""
    z_mm, y_mm, x_mm = (grid.centres_mm(axis) for axis in range(3))
    uid = new_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta)
    # Not by its constructor, which would make all slices share one set of elements.
    ds.update(common)
    ds.SOPInstanceUID, ds.InstanceNumber = uid, index + 1
    ds.ImagePositionPatient = [round(float(c), 6) for c in (x_mm[0], y_mm[0], z_mm[index])]
    ds.SliceLocation = round(float(z_mm[index]), 6)
    ds.PixelData = np.ascontiguousarray(plane, dtype="<i2").tobytes()
    return ds
