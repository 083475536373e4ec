"""An object written anew says what quality control needs, and nothing of a patient."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from client.dicom import HEADER_TAGS, Fault, Identity, ImageHeader, ObjectReader, ReceivedObject, deidentified
from client.dicom.layout import pixel_layout
from client.dicom.parsing import image_headers
from client.dicom.pixels import PixelReader
from client.dicom.wire import PixelLayout, Unreadable

IDENTITY = Identity("2.25.11", "2.25.12", "2.25.13", "patient-pseudonym", "2.25.14")
PHI = {
    "PatientName": "SECRETNAME^PATIENT",
    "PatientID": "MRN-7741-SECRET",
    "IssuerOfPatientID": "SECRET-ISSUER",
    "PatientBirthDate": "19610704",
    "PatientComments": "SECRET COMMENTS",
    "InstitutionName": "SECRETHOSPITAL",
    "OperatorsName": "SECRETOPERATOR",
    "AccessionNumber": "SECRET-ACC-99",
    "StudyDate": "20190212",
    "StudyDescription": "SECRET DESCRIPTION",
    "ContrastBolusAgent": "SECRET AGENT",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.7777",
}

COPIED = {*HEADER_TAGS, "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "PixelData"} | {
    "BitsAllocated",
    "BitsStored",
    "HighBit",
}


def _object(frames: int = 1, syntax: Any = ExplicitVRLittleEndian, **tags: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage if frames == 1 else EnhancedCTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    meta.SourceApplicationEntityTitle = "SECRETAE"
    encoding = {"is_implicit_VR": syntax.is_implicit_VR, "is_little_endian": syntax.is_little_endian}
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"SECRET PREAMBLE".ljust(128, b"\0"), **encoding)
    rng = np.random.default_rng(5)
    order = "<" if syntax.is_little_endian else ">"
    values: dict[str, Any] = {
        **PHI,
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "InstanceNumber": "7",
        "Rows": 12,
        "Columns": 10,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelPaddingValue": -2000,
        "PixelData": rng.integers(-2048, 2047, (frames, 12, 10)).astype(f"{order}i2").tobytes(),
    }
    place = {
        "KVP": "120",
        "ImageOrientationPatient": [0.9999, 0.0001, 0, 0, 0.95105651629, -0.30901699437],
        "ImagePositionPatient": [-112.25, -98.123456, 33.3],
        "PixelSpacing": [0.48828125, 0.488281],
        "SliceThickness": "0.625",
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
    }
    values |= place if frames == 1 else {"NumberOfFrames": frames, "PerFrameFunctionalGroupsSequence": _groups(frames)}
    for keyword, value in (values | tags).items():
        setattr(dataset, keyword, value)
    private = dataset.private_block(0x0019, "SECRET CREATOR", create=True)
    private.add_new(0x02, "LO", "SECRET PRIVATE")
    return dataset


def _groups(frames: int) -> list[Dataset]:
    groups = []
    for index in range(frames):
        group = Dataset()
        for sequence, values in (
            ("PlanePositionSequence", {"ImagePositionPatient": [0, 0, 2.5 * index]}),
            ("PlaneOrientationSequence", {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}),
            ("PixelMeasuresSequence", {"PixelSpacing": [0.5, 0.5], "SliceThickness": "2.5"}),
            ("PixelValueTransformationSequence", {"RescaleSlope": "1", "RescaleIntercept": "-1000"}),
            ("CTImageFrameTypeSequence", {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]}),
            ("CTXRayDetailsSequence", {"KVP": 140.0}),
            ("FrameContentSequence", {"FrameComments": "SECRET FRAME", "FrameAcquisitionDateTime": "20190212101112"}),
        ):
            item = Dataset()
            for keyword, value in values.items():
                setattr(item, keyword, value)
            setattr(group, sequence, [item])
        groups.append(group)
    return groups


def _bytes(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _written(received: ReceivedObject | Fault | None) -> bytes:
    assert isinstance(received, ReceivedObject)
    return b"".join(deidentified(received, IDENTITY))


def _stored(content: bytes, frame: int, folder: Path) -> Any:
    path = folder / "object"
    path.write_bytes(content)
    with path.open("rb") as stream:
        return PixelReader().stored_values(stream, 12, 10, frame)


@pytest.fixture(scope="module")
def reader() -> Iterator[ObjectReader]:
    with ObjectReader() as reader:
        yield reader


KINDS = {
    "recompressed": ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "LossyImageCompression": "01"}, (False, True)),
    "reformat": ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "DerivationDescription": "oblique MPR"}, (True, True)),
    "electron density": ({"RescaleType": "ED"}, (False, False)),
    "material fraction": ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "MAT_FRACTIONAL"]}, (False, False)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_judged_as_the_original_though_its_words_are_not_copied(reader: ObjectReader, kind: str) -> None:
    tags, expected = KINDS[kind]
    content = _bytes(_object(**tags))
    (original,) = image_headers(io.BytesIO(content)) or ()
    (copy,) = image_headers(io.BytesIO(_written(reader.read(content)))) or ()
    assert (original.computed, original.hounsfield) == expected == (copy.computed, copy.hounsfield)


def test_times_of_copies_tell_what_lies_between_them_alone(reader: ObjectReader) -> None:
    identity = replace(IDENTITY, clock_shift_s=50_000.0)
    times = []
    for clock in ("101112.5", "101130", "235959.25"):
        received = reader.read(_bytes(_object(AcquisitionTime=clock, AcquisitionNumber="4")))
        assert isinstance(received, ReceivedObject)
        written = b"".join(deidentified(received, identity))
        assert clock[:6].encode() not in written
        (copy,) = image_headers(io.BytesIO(written)) or ()
        assert copy.acquisition == 4 and copy.acquired_s is not None
        times.append(copy.acquired_s)
    assert [(time - times[0]) % 86_400 for time in times] == pytest.approx([0, 17.5, 49_726.75])


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEGLSLossless,
    ],
    ids=lambda syntax: syntax.name,
)
def test_headers_and_pixels_are_the_same_and_nothing_else_is_there(
    reader: ObjectReader, tmp_path: Path, syntax: Any, frames: int
) -> None:
    if syntax.is_compressed:
        dataset = _object(frames)
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset = _object(frames, syntax)
    content = _bytes(dataset)
    written = _written(reader.read(content))
    original, copy = image_headers(io.BytesIO(content)), image_headers(io.BytesIO(written))
    assert original is not None and copy is not None and len(original) == len(copy) == frames
    expected = ExplicitVRLittleEndian if syntax == ImplicitVRLittleEndian else syntax
    for header, same in zip(original, copy, strict=True):
        assert same == replace(
            header,
            transfer_syntax=expected,
            sop_instance=IDENTITY.sop_instance,
            series=IDENTITY.series,
            study=IDENTITY.study,
            patient_id=IDENTITY.patient_id,
            issuer="",
            frame_of_reference=IDENTITY.frame_of_reference,
        )
    for frame in range(frames):
        np.testing.assert_array_equal(_stored(written, frame, tmp_path), _stored(content, frame, tmp_path))
    identifiers = (dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
    assert [value for value in (*PHI.values(), *identifiers, "SECRET", "20190212") if value.encode() in written] == []


def test_deflated_pixels_are_inflated_in_the_limited_process(reader: ObjectReader, tmp_path: Path) -> None:
    content = _bytes(_object(1, DeflatedExplicitVRLittleEndian))
    written = _written(reader.read(content))
    np.testing.assert_array_equal(_stored(written, 0, tmp_path), _stored(content, 0, tmp_path))
    assert b"SECRET" not in written


def test_a_deflate_bomb_costs_nothing_here(reader: ObjectReader) -> None:
    bomb = _object(1, DeflatedExplicitVRLittleEndian, Rows=60_000, Columns=60_000, PixelData=bytes(64 << 20))
    assert isinstance(reader.read(_bytes(bomb)), Fault)


@pytest.mark.parametrize(
    "content", [b"", b"DICM", b"\0" * 200, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 999]
)
def test_what_is_no_object_is_damaged(reader: ObjectReader, content: bytes) -> None:
    assert reader.read(content) in (Fault.DAMAGED, None)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(1, 400), frames=st.sampled_from([1, 3]), is_compressed=st.booleans())
def test_a_part_of_an_object_is_never_taken_for_the_whole(cut: int, frames: int, is_compressed: bool) -> None:
    dataset = _object(frames)
    if is_compressed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    content = _bytes(dataset)[:-cut]
    with TemporaryFile() as stream, pytest.raises(Unreadable):
        stream.write(content)
        pixel_layout(stream)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_word_of_a_hostile_header_gets_through_but_short_plain_ones(data: st.DataObject) -> None:
    text = st.text(max_size=80)
    number = st.floats(-9e5, 9e5, allow_nan=False)
    vector = st.lists(number, max_size=6).map(tuple)
    header = ImageHeader(
        sop_class=str(CTImageStorage),
        sop_instance="1.2",
        study="1.3",
        series="1.4",
        patient_id=data.draw(text),
        issuer=data.draw(text),
        transfer_syntax=str(ExplicitVRLittleEndian),
        modality=data.draw(text),
        image_type=tuple(data.draw(st.lists(text, max_size=4))),
        manufacturer=data.draw(text),
        rows=2,
        columns=2,
        frames=1,
        orientation=data.draw(vector),
        position=data.draw(vector),
        pixel_spacing_mm=data.draw(vector),
        thickness_mm=data.draw(number),
        slope=data.draw(number),
        intercept=data.draw(number),
        padding=data.draw(st.integers(-999_999, 999_999)),
        padding_limit=data.draw(st.none() | st.integers(-999_999, 999_999)),
        tilt_deg=data.draw(st.none() | number),
        kvp=data.draw(number),
        contrast=data.draw(st.booleans()),
        computed=data.draw(st.booleans()),
        hounsfield=data.draw(st.booleans()),
        frame_of_reference=data.draw(text),
        number=data.draw(st.integers(-999_999, 999_999)),
        acquisition=data.draw(st.integers(-999_999, 999_999)),
        acquired_s=data.draw(st.floats(0, 86_399)),
    )
    layout = PixelLayout(
        syntax=header.transfer_syntax,
        samples=1,
        photometric="MONOCHROME2",
        planar=None,
        bits_allocated=16,
        bits_stored=16,
        high_bit=15,
        representation=data.draw(st.integers(0, 1)),
        start=0,
        length=8,
    )
    written = _written(ReceivedObject((header,), layout, memoryview(bytes(8))))
    stored = dcmread(io.BytesIO(written))
    words = [stored.Modality, *([stored.ImageType] if isinstance(stored.ImageType, str) else stored.ImageType or [])]
    assert all(len(word) <= 16 and word.isascii() for word in words)
    assert stored.get("Manufacturer", "").isascii()
    assert {element.keyword for element in stored} <= COPIED
    (copy,) = image_headers(io.BytesIO(written)) or ()
    same = ("contrast", "computed", "hounsfield", "number", "acquisition")
    assert [getattr(copy, name) for name in same] == [getattr(header, name) for name in same]
