"""A large archive of small CT files: headers as scanners write them, one byte template a series, patched per slice."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

SERIES, SLICES, MATRIX = 200, 100, 128
PLACE_BYTES = 12
_INSTANCE = "2.25.{}"
_SPARE = 10**34
_MADE = "complete"


@final
@dataclass(frozen=True)
class ArchiveSize:
    """How many series of how many slices of how many pixels along each side."""

    series: int = SERIES
    slices: int = SLICES
    matrix: int = MATRIX

    @property
    def files(self) -> int:
        """Files in the archive."""
        return self.series * self.slices


def synthetic_archive(cache: Path, size: ArchiveSize) -> Path:
    """The archive's folder below a cache folder: written once, and again if its writing was broken off."""
    root = cache / f"archive-{size.series}x{size.slices}x{size.matrix}"
    made = root.with_name(f"{root.name}.{_MADE}")
    if not made.exists():
        shutil.rmtree(root, ignore_errors=True)
        for number in range(size.series):
            _write_series(root, number, size)
        made.touch()
    return root


def _write_series(root: Path, number: int, size: ArchiveSize) -> None:
    """One series in a folder of its own, three folders deep; every second one without value representations."""
    folder = root / f"{number % 16:02x}" / f"patient{number // 2:04d}" / f"{number:06d}"
    folder.mkdir(parents=True)
    template = _template(number, size)
    content = bytearray(template)
    places = {
        "instance": _every(template, _INSTANCE.format(_SPARE).encode()),
        "height": _every(template, b"-99999.12345"),
        "number": _every(template, b"987654"),
    }
    for index in range(size.slices):
        texts = {
            "instance": _INSTANCE.format(2 * _SPARE + number * size.slices + index),
            "height": f"{-500 + 2.5 * index:<{PLACE_BYTES}.3f}",
            "number": f"{index + 1:<6d}",
        }
        for name, text in texts.items():
            for place in places[name]:
                content[place : place + len(text)] = text.encode()
        (folder / f"{number * size.slices + index:08X}").write_bytes(content)


def _every(content: bytes, wanted: bytes) -> list[int]:
    found, start = [], content.find(wanted)
    while start >= 0:
        found.append(start)
        start = content.find(wanted, start + 1)
    if not found:
        raise ValueError("the template lacks a place to patch")
    return found


def _template(number: int, size: ArchiveSize) -> bytes:
    dataset = _header(number, size)
    noise = np.random.default_rng(number).normal(0.0, 20.0, (size.matrix, size.matrix))
    dataset.PixelData = np.rint(noise + 1024).astype("<i2").tobytes()
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _header(number: int, size: ArchiveSize) -> Dataset:
    """Some 80 elements: the CT Image IOD (PS3.3 A.3) with a referenced image, a procedure code and a private block."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(_INSTANCE.format(_SPARE))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if number % 2 else ExplicitVRLittleEndian
    texts = {
        "SpecificCharacterSet": "ISO_IR 100", "InstanceCreationDate": "20000101", "InstanceCreationTime": "120000",
        "StudyDate": "20000101", "SeriesDate": "20000101", "AcquisitionDate": "20000101", "ContentDate": "20000101",
        "StudyTime": "120000", "SeriesTime": "120000", "AcquisitionTime": "120000", "ContentTime": "120000",
        "AccessionNumber": "", "Modality": "CT", "Manufacturer": "SIEMENS", "InstitutionName": "SYNTHETIC",
        "ReferringPhysicianName": "", "StationName": "CT1", "StudyDescription": "SYNTHETIC HEAD",
        "SeriesDescription": "HEAD 2.5", "ManufacturerModelName": "SYNTHETIC",
        "PatientName": f"NOBODY^{number // 2:04d}", "PatientID": f"SYN{number // 2:06d}", "PatientBirthDate": "",
        "PatientSex": "", "PatientAge": "050Y", "PatientComments": "no patient is in this file",
        "ContrastBolusAgent": "", "BodyPartExamined": "HEAD", "ScanOptions": "AXIAL", "SliceThickness": "2.5",
        "KVP": "120", "DataCollectionDiameter": "500",
        "DeviceSerialNumber": "1", "SoftwareVersions": "1", "ProtocolName": "HEAD", "ReconstructionDiameter": "240",
        "DistanceSourceToDetector": "1040", "DistanceSourceToPatient": "570", "GantryDetectorTilt": "0",
        "TableHeight": "150", "RotationDirection": "CW", "ExposureTime": "1000", "XRayTubeCurrent": "300",
        "Exposure": "300", "FilterType": "0", "GeneratorPower": "36", "FocalSpots": "1.2", "ConvolutionKernel": "H31s",
        "PatientPosition": "HFS", "StudyID": "1", "SeriesNumber": "2", "AcquisitionNumber": "1",
        "InstanceNumber": "987654", "PositionReferenceIndicator": "", "SliceLocation": "-99999.12345",
        "ImageComments": "", "PhotometricInterpretation": "MONOCHROME2", "WindowCenter": "40", "WindowWidth": "80",
        "RescaleIntercept": "-1024", "RescaleSlope": "1", "RescaleType": "HU", "RequestingPhysician": "",
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": _INSTANCE.format(_SPARE),
        "StudyInstanceUID": f"2.25.{10**30 + number // 2}", "SeriesInstanceUID": f"2.25.{10**31 + number}",
        "FrameOfReferenceUID": f"2.25.{10**32 + number}",
    }  # fmt: skip
    numbers = {
        "SamplesPerPixel": 1, "Rows": size.matrix, "Columns": size.matrix, "BitsAllocated": 16, "BitsStored": 16,
        "HighBit": 15, "PixelRepresentation": 1, "PixelPaddingValue": 0,
    }  # fmt: skip
    vectors = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "ImagePositionPatient": ["-120", "-120", "-99999.12345"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"], "PixelSpacing": ["1.875", "1.875"],
    }  # fmt: skip
    for keyword, value in {**texts, **numbers, **vectors}.items():
        setattr(dataset, keyword, value)
    referenced, code = Dataset(), Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = CTImageStorage, f"2.25.{10**33 + number}"
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTHEAD", "99SYN", "CT of the head"
    dataset.ReferencedImageSequence, dataset.ProcedureCodeSequence = [referenced], [code]
    private = dataset.private_block(0x0029, "SYNTHETIC CSA", create=True)
    private.add_new(0x10, "OB", bytes(600))
    private.add_new(0x20, "LO", "private")
    return dataset
