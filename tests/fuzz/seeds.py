"""What mutations start from: CT objects of every transfer syntax, pydicom's samples, and real bad inputs at hand."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom.data
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

# Of every object that is written here: none of it may ever be said.
PHI = ("SECRETNAME^FUZZ", "MRN-SECRET-31", "19500229", "SECRETHOSPITAL", "SECRETDOCTOR^FUZZ", "SECRET-ACC-77")
EDGE = 48
LARGEST_SAMPLE_BYTES = 64 << 10
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
_COMPRESSED = (RLELossless, JPEGLSLossless, JPEG2000Lossless)
_BY_GDCM = ("JPEGLosslessProcess14_1", "JPEGExtendedProcess2_4")


@dataclass(frozen=True)
class Seed:
    """A file to mutate.

    Attributes:
        name: for reports.
        content: its bytes.
        is_ours: whether its bytes may be written down in a finding; a patient's may not.
    """

    name: str
    content: bytes
    is_ours: bool = True


def written_seeds() -> list[Seed]:
    """One CT slice in every transfer syntax that can be written, and an Enhanced CT of four frames."""
    stored = _slice()
    seeds = [Seed(syntax.keyword, _saved(ct_slice(stored, syntax))) for syntax in _PLAIN]
    for syntax in _COMPRESSED:
        dataset = ct_slice(stored, ExplicitVRLittleEndian)
        dataset.compress(syntax, generate_instance_uid=False)
        seeds.append(Seed(syntax.keyword, _saved(dataset)))
    seeds += [Seed(name, _recoded(seeds[0].content, name)) for name in _BY_GDCM]
    return [*seeds, Seed("EnhancedCT", _saved(enhanced_ct(stored)))]


def sample_seeds() -> list[Seed]:
    """pydicom's sample files of at most 64 KiB."""
    folder = Path(pydicom.data.__file__).parent
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    found = [(path, path.read_bytes()) for path in paths if path.suffix not in {".py", ".json", ".md", ".txt"}]
    return [Seed(path.name, content) for path, content in found if len(content) <= LARGEST_SAMPLE_BYTES]


def real_seeds(ct: Path) -> list[Seed]:
    """One object of each real bad input, if they are at hand; read from the zips, never written down."""
    seeds = []
    for packed in sorted((ct / "bad_inputs").glob("*.zip")):
        with zipfile.ZipFile(packed) as archive:
            name = min(entry.filename for entry in archive.infolist() if entry.filename.endswith(".dcm"))
            seeds.append(Seed(packed.stem, archive.read(name), is_ours=False))
    return seeds


def ct_slice(stored: np.ndarray[Any, Any], syntax: UID, number: int = 1, **tags: Any) -> FileDataset:
    """One slice with every kind of element: texts, numbers, a sequence, a private block, a character set."""
    dataset = _object(CTImageStorage, syntax, number)
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-94.5, -118.5, -117.0 + 6.0 * number],
        "PixelSpacing": [3.0, 3.0],
        "SliceThickness": "6",
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
        "PixelPaddingValue": 0,
        "WindowCenter": ["40", "400"],
    }
    for keyword, value in (values | tags).items():
        setattr(dataset, keyword, value)
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = CTImageStorage, "1.2.826.9"
    dataset.ReferencedImageSequence = [referenced]
    private = dataset.private_block(0x0029, "FUZZ", create=True)
    private.add_new(0x10, "OB", bytes(range(64)))
    _give_pixels(dataset, stored, syntax)
    return dataset


def enhanced_ct(stored: np.ndarray[Any, Any], frames: int = 4) -> FileDataset:
    """Several slices in one object, with shared and per-frame functional groups (PS3.3 A.38)."""
    dataset = _object(EnhancedCTImageStorage, ExplicitVRLittleEndian, 1)
    dataset.NumberOfFrames = frames
    shared = Dataset()
    measures, orientation, scale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [3.0, 3.0], "6"
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = "1", "-1024", "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [scale]
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for frame in range(frames):
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = [-94.5, -118.5, 6.0 * frame]
        group.PlanePositionSequence = [place]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    _give_pixels(dataset, np.repeat(stored[None], frames, axis=0), ExplicitVRLittleEndian)
    return dataset


def _object(sop_class: UID, syntax: UID, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, UID(f"1.2.826.3.{number}")
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.1", "1.2.826.2"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = PHI[:3]
    dataset.InstitutionName, dataset.ReferringPhysicianName, dataset.AccessionNumber = PHI[3:]
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Manufacturer, dataset.KVP, dataset.InstanceNumber = "SIEMENS", "120", number
    return dataset


def _give_pixels(dataset: FileDataset, stored: np.ndarray[Any, Any], syntax: UID) -> None:
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelData = (stored.byteswap() if syntax == ExplicitVRBigEndian else stored).tobytes()
    dataset["PixelData"].VR = "OW"


def _slice() -> np.ndarray[Any, Any]:
    y, x = np.mgrid[:EDGE, :EDGE] - (EDGE - 1) / 2
    tissue = 1064 + 60 * np.sin(x / 5) * np.cos(y / 4)
    return np.where((x / 20) ** 2 + (y / 22) ** 2 < 1, tissue, 24).astype(np.uint16)


def _saved(dataset: FileDataset) -> bytes:
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _recoded(content: bytes, name: str) -> bytes:
    """The same object in a transfer syntax that GDCM writes; ``name`` is GDCM's."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.write_bytes(content)
        reader, writer, change = gdcm.ImageReader(), gdcm.ImageWriter(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(source))
        if not reader.Read():
            raise ValueError("GDCM does not read its seed")
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise ValueError(f"GDCM does not write {name}")
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(target))
        if not writer.Write():
            raise ValueError(f"GDCM does not write {name}")
        return target.read_bytes()


def head_slices(hu: np.ndarray[Any, Any]) -> Iterator[bytes]:
    """A head as single slices: a series that quality control accepts before it is mutated."""
    for number, plane in enumerate(hu):
        yield _saved(ct_slice((plane + 1024).clip(0, 4095).astype(np.uint16), ExplicitVRLittleEndian, number))
