"""Writes CT objects of every encoding, and reads them through one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gdcm
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian

from client.dicom import Reader, ReaderLimits
from tests import absences


def ct_object(
    stored: NDArray[Any], *, bits: int = 16, syntax: UID = ExplicitVRLittleEndian, **tags: Any
) -> FileDataset:
    """An object of one frame, (row, column), or of several, (frame, row, column), of 16-bit values."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.826.3")
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "1.2.826.1",
        "SeriesInstanceUID": "1.2.826.2",
        "PatientID": "SECRET-7741",
        "PatientName": "SECRET^NAME",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "KVP": "120",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-10.5, 2, 3.25],
        "PixelSpacing": [0.5, 0.75],
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "BitsAllocated": 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    if stored.ndim == 3:
        values["NumberOfFrames"] = len(stored)
    for keyword, value in (values | tags).items():
        setattr(dataset, keyword, value)
    written = stored.byteswap() if syntax == ExplicitVRBigEndian else stored
    dataset.PixelData = written.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def save(path: Path, dataset: FileDataset) -> Path:
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    dataset.save_as(path, enforce_file_format=True)
    return path


def recode(source: Path, target: Path, name: str) -> Path:
    """The same object in another transfer syntax, written by GDCM; ``name`` is GDCM's."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(target))
    assert writer.Write()
    return target


@pytest.fixture(scope="session")
def head_like() -> NDArray[np.int16]:
    """Smooth values with edges, (5, 48, 64) int16 in [-1024, 2047]: what lossless coders find hard to get wrong."""
    z, y, x = np.mgrid[:5, :48, :64]
    values = 500 * np.sin(x / 9 + z) * np.cos(y / 7) + 800 * ((x - 30) ** 2 + (y - 20) ** 2 < 150) - 400
    return np.rint(values).clip(-1024, 2047).astype(np.int16)


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    with Reader() as opened:
        yield opened


@pytest.fixture(scope="session")
def small() -> ReaderLimits:
    """Limits that a hostile file soon meets."""
    return ReaderLimits(memory_bytes=700 << 20, seconds=30.0)


@pytest.fixture(scope="session")
def ct() -> SimpleNamespace:
    """Makes, saves and recodes objects: ``ct.object(stored, **tags)``, ``ct.save(path, dataset)``, ``ct.recode``."""
    return SimpleNamespace(object=ct_object, save=save, recode=recode)


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """The folder of real head CTs."""
    if not absences.REAL_HEADS_FOLDER.is_dir():
        pytest.skip(absences.REAL_HEADS)
    return absences.REAL_HEADS_FOLDER
