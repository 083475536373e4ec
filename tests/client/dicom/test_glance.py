from __future__ import annotations

import io
import os
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydicom.charset import decode_bytes, python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)
from pydicom.valuerep import TEXT_VR_DELIMS

from client.dicom import HEADER_TAGS, UNSURE, HeaderGlance, ImageHeader, element_walk, glance, wanted_elements
from client.dicom.parsing import image_headers
from client.dicom.wire import Unreadable

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
LAYER = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff"
VRS = b"AE AS AT CS DA DS DT FD IS LO OB OW PN SL SQ SS UI UL UN US UT XX".split()
WORDS = [*VRS, b"\xff\xff", b"\xfe\xff", b"\0\0", b"\x08\0", b"\\\0", b" \0", b"\xe0\x7f"]
LITTLE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
ORDINARY: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "SOPClassUID": CTImageStorage,
    "SOPInstanceUID": "1.2.826.3.77",
    "StudyDate": "20240229",
    "Modality": "CT",
    "Manufacturer": "SIEMENS ",
    "PatientName": "SECRET^NAME",
    "PatientID": "MRN-7741",
    "IssuerOfPatientID": "NORTH",
    "SliceThickness": "1.25",
    "KVP": "120",
    "ContrastBolusAgent": "NONE",
    "ContrastBolusVolume": "0",
    "AcquisitionTime": "101112.25",
    "AcquisitionNumber": "3",
    "FrameOfReferenceUID": "1.2.826.5",
    "RescaleType": "HU",
    "StudyInstanceUID": "1.2.826.1",
    "SeriesInstanceUID": "1.2.826.2",
    "InstanceNumber": "17",
    "ImagePositionPatient": [-10.5, 2, 3.25],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "SamplesPerPixel": 1,
    "Rows": 512,
    "Columns": 256,
    "PixelSpacing": ["0.488281", "0.48"],
    "BitsAllocated": 16,
    "PixelRepresentation": 1,
    "PixelPaddingValue": -2000,
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
}


def written(
    syntax: str = ExplicitVRLittleEndian, edit: Callable[[Dataset], None] | None = None, **changes: Any
) -> bytes:
    """An ordinary object with a sequence of every length and a private block; a change to None drops an element."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.826.3.77"
    dataset.file_meta.TransferSyntaxUID = syntax
    for keyword, value in (ORDINARY | changes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    for keyword, undefined in (("ReferencedImageSequence", True), ("RequestAttributesSequence", False)):
        dataset.add_new(keyword, "SQ", Sequence([nested(2), Dataset(), nested(0)]))
        dataset[keyword].is_undefined_length = undefined
    block = dataset.private_block(0x29, "MAKER", create=True)
    block.add_new(0x10, "OB", b"\xfe\xff\x00\xe0" * 25)
    if "PixelData" not in changes:
        compressed = UID(syntax).is_compressed and syntax != DeflatedExplicitVRLittleEndian
        pixels = b"\xe0\x7f\x10\x00" * 8
        dataset.PixelData = encapsulate([pixels]) if compressed else pixels
        dataset["PixelData"].VR = "OB" if compressed else "OW"
        dataset["PixelData"].is_undefined_length = compressed
    if edit is not None:
        edit(dataset)
    dataset.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def nested(depth: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.PatientID = "OTHER-PATIENT"
    item.is_undefined_length_sequence_item = depth % 2 == 0
    if depth:
        item.add_new("ReferencedSeriesSequence", "SQ", Sequence([nested(depth - 1)]))
        item["ReferencedSeriesSequence"].is_undefined_length = True
    return item


def coded(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.MonoenergeticEnergyEquivalent = 70.0
    return item


def looked_at(data: bytes, look: HeaderGlance | None = None):
    return (look or HeaderGlance()).of(data[: glance.MOST_BYTES], len(data))


def reference(data: bytes):
    """What pydicom makes of it: a header, None, or damaged."""
    try:
        headers = image_headers(io.BytesIO(data))
    except Unreadable:
        return "damaged"
    return headers if headers is None or len(headers) > 1 else headers[0]


def agrees(data: bytes, look: HeaderGlance | None = None) -> bool:
    """Whether the glance equals the reference, field by field and type by type; False if it is unsure."""
    seen = looked_at(data, look)
    if seen is UNSURE:
        return False
    expected = reference(data)
    assert seen == expected
    for name in (field.name for field in fields(ImageHeader) if seen is not None):
        assert type(getattr(seen, name)) is type(getattr(expected, name))
    return True


def values(**kinds):
    return st.fixed_dictionaries({}, optional=kinds)


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
TEXT = PRINTABLE | st.text(st.characters(max_codepoint=255, exclude_characters="\\"), max_size=8)
NUMERAL = (
    st.floats(-2e6, 2e6).map(lambda value: f"{value:.10g}")
    | st.sampled_from(["", " ", "1", "-0", " 7 ", "+.5", "1.", "1e3", "1E-2"])
    | st.sampled_from(["nan", "inf", "1_0", "1e999"])
)
WHOLE = st.integers(-2_000_000, 2_000_000).map(str) | st.sampled_from(["", "1.0", "1.5", " 3", "+4", "1e2"])
HALVES = st.integers(0, 65535)
CLOCK = st.sampled_from(["", "101112", "10:11:12", "10", "241112", "101112.123456 ", "235960", "noon"]) | NUMERAL
IMAGE_TYPE = st.tuples(
    st.sampled_from(["ORIGINAL", "DERIVED"]),
    st.sampled_from(["PRIMARY", "SECONDARY"]),
    st.sampled_from(["AXIAL", "MPR", "LOCALIZER"]),
    st.sampled_from(["", "MONO_E_70", "VNC", "CT_SOM5 SPI"]),
).map(list)
CODES = st.lists(st.sampled_from(["113040", "113072", ""]).map(lambda value: coded(value)), max_size=2).map(Sequence)
CHANGES = values(
    SpecificCharacterSet=st.sampled_from([None, "", "ISO_IR 13", "ISO_IR 192", "GB18030", "LATIN"])
    | st.sampled_from([["", "ISO 2022 IR 87"], ["ISO 2022 IR 6", "ISO 2022 IR 149"]]),
    ImageType=st.lists(PRINTABLE, max_size=40) | st.none() | IMAGE_TYPE,
    SOPClassUID=st.sampled_from([None, "", "1.2.3", " 1.2", EnhancedCTImageStorage, "1.2.840.10008.1.3.10"]),
    SOPInstanceUID=PRINTABLE | st.none(),
    SeriesInstanceUID=st.sampled_from([None, "", "1.2 ", "1.2\\3"]),
    PatientID=TEXT | st.none() | st.just("X" * 300),
    IssuerOfPatientID=TEXT,
    Modality=PRINTABLE | st.none(),
    Manufacturer=TEXT | st.none(),
    ContrastBolusAgent=TEXT | st.none() | st.sampled_from(["OHNE KM", "W/O", "-", "OMNIPAQUE"]),
    ContrastBolusVolume=NUMERAL | st.lists(NUMERAL, max_size=3),
    ContrastBolusRoute=TEXT | st.none(),
    ContrastBolusStartTime=CLOCK,
    ContrastBolusIngredient=st.sampled_from(["IODINE", "NONE", ""]),
    ContrastFlowRate=NUMERAL,
    ContrastBolusAgentSequence=CODES,
    DerivationCodeSequence=CODES,
    DerivationDescription=TEXT,
    LossyImageCompression=st.sampled_from(["00", "01", "", "1"]),
    LossyImageCompressionRatio=NUMERAL | st.lists(NUMERAL, max_size=3),
    RescaleType=st.sampled_from(["HU", "US", "MGML", "hu", "", "ED", None]),
    MultienergyCTProcessingSequence=CODES,
    AcquisitionTime=CLOCK,
    AcquisitionNumber=WHOLE | st.lists(WHOLE, max_size=3) | st.none(),
    FrameOfReferenceUID=st.sampled_from([None, "", "1.2 ", "1.2\\3"]),
    KVP=NUMERAL | st.none(),
    GantryDetectorTilt=NUMERAL | st.none(),
    SliceThickness=NUMERAL | st.lists(NUMERAL, max_size=3),
    InstanceNumber=WHOLE | st.lists(WHOLE, max_size=3) | st.none(),
    NumberOfFrames=st.sampled_from(["1", "0", "2", " 1", ""]),
    ImagePositionPatient=st.lists(NUMERAL, max_size=7) | st.none(),
    ImageOrientationPatient=st.lists(NUMERAL, max_size=7),
    PixelSpacing=st.lists(NUMERAL, max_size=3),
    RescaleSlope=NUMERAL | st.none(),
    RescaleIntercept=NUMERAL,
    Rows=HALVES | st.none() | st.lists(HALVES, min_size=2, max_size=2),
    Columns=HALVES,
    PixelRepresentation=st.sampled_from([0, 1, 2, None]),
)


@pytest.mark.parametrize("syntax", [*LITTLE, RLELossless, JPEGLosslessSV1])
def test_ordinary_headers_are_read_as_pydicom_reads_them(syntax):
    data = written(syntax)
    assert agrees(data)
    assert looked_at(data).position == (-10.5, 2, 3.25)


def test_headers_after_the_first_are_read_as_pydicom_reads_them():
    """What recurs is remembered: each header must still get its own values."""
    look = HeaderGlance()
    for number in (1, 2, 10, 3):
        for series in ("1.2.1", "1.2.22"):
            place = [number, 0, -number]
            data = written(InstanceNumber=str(number), SeriesInstanceUID=series, ImagePositionPatient=place)
            assert agrees(data, look)
            assert looked_at(data, look).number == number


@pytest.mark.parametrize("syntax", LITTLE)
@settings(max_examples=60, deadline=None)
@given(changes=CHANGES, signed=st.booleans(), padding=st.tuples(*[st.integers(-32768, 65535) | st.none()] * 2))
def test_whatever_is_written_is_read_as_pydicom_reads_it_or_left_to_the_reader(syntax, changes, signed, padding):
    low, high = (-32768, 32767) if signed else (0, 65535)
    value, limit = (end if end is not None and low <= end <= high else None for end in padding)
    fitting = {"PixelRepresentation": int(signed), "PixelPaddingValue": value, "PixelPaddingRangeLimit": limit}
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = written(syntax, **(fitting | changes))
        except (ValueError, TypeError, OverflowError, AttributeError, OSError):
            reject()
    agrees(data)


@pytest.mark.parametrize("syntax", LITTLE)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_read_as_pydicom_reads_it_or_left_to_the_reader(syntax, data):
    damaged = bytearray(written(syntax))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(132, len(damaged) - 1))
        kind = data.draw(st.sampled_from(["byte", "word", "cut", "insert", "delete", "repeat"]))
        if kind == "byte":
            damaged[place] = data.draw(st.integers(0, 255))
        elif kind == "word":
            damaged[place - place % 2 : place - place % 2 + 2] = data.draw(st.sampled_from(WORDS))
        elif kind == "insert":
            damaged[place:place] = data.draw(st.sampled_from(WORDS))
        elif kind == "delete":
            del damaged[place : place + data.draw(st.integers(1, 8))]
        elif kind == "repeat":
            damaged[place:place] = damaged[data.draw(st.integers(132, place)) : place][:64]
        else:
            del damaged[max(place, 200) :]
    agrees(bytes(damaged))


def test_sample_files_of_pydicom_are_read_as_pydicom_reads_them_or_left_to_the_reader():
    look = HeaderGlance()
    samples = [path for path in SAMPLES.rglob("*") if path.is_file() and path.stat().st_size < 2_000_000]
    files = [path.read_bytes() for path in samples]
    sure = sum(agrees(data, look) for data in files if data[128:132] == b"DICM")
    assert sure > 100


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "M\xfcller"},
        {"SpecificCharacterSet": "LATIN"},
        {"NumberOfFrames": "2"},
        {"SOPClassUID": EnhancedCTImageStorage},
        {"SeriesInstanceUID": None},
        {"ContrastBolusAgentSequence": Sequence([Dataset()])},
        {"MultienergyCTCharacteristicsSequence": Sequence([Dataset()])},
        {"InstanceNumber": "1.5"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_unusual_values_are_left_to_the_reader(changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = written(**changes)
    assert looked_at(data) is UNSURE


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_unusual_encodings_are_left_to_the_reader(syntax):
    assert looked_at(written(syntax)) is UNSURE


def test_derivation_codes_are_left_to_the_reader_where_they_decide():
    codes = Sequence([coded("113040")])
    recompressed = written(ImageType=["DERIVED", "PRIMARY", "AXIAL"], DerivationCodeSequence=codes)
    assert looked_at(recompressed) is UNSURE
    assert reference(recompressed).computed is False
    assert agrees(written(ImageType=["DERIVED", "SECONDARY", "MPR"], DerivationCodeSequence=codes)) is True
    assert agrees(written(DerivationCodeSequence=codes)) is True


@pytest.mark.parametrize("syntax", LITTLE)
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("items", [0, 1])
def test_sequences_that_say_contrast_are_looked_for_and_empty_ones_say_nothing(syntax, undefined, items):
    def changed(dataset):
        dataset.ContrastBolusAgentSequence = Sequence([coded("C-B0322")] * items)
        dataset["ContrastBolusAgentSequence"].is_undefined_length = undefined

    data = written(syntax, edit=changed)
    assert agrees(data) is (items == 0)
    assert reference(data).contrast is (items == 1)


def test_data_sets_without_preamble_are_left_to_the_reader():
    assert looked_at(written()[132:]) is UNSURE


def test_deep_nesting_is_left_to_the_reader():
    deep = Sequence([nested(element_walk.DEEPEST_NESTING + 2)])
    assert looked_at(written(SourceImageSequence=deep)) is not UNSURE, "a length says where it ends"
    start = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
    assert looked_at(written().replace(start, start + LAYER * 20, 1)) is UNSURE


def test_other_files_and_dicomdirs_hold_no_image():
    assert looked_at(b"not an image" * 100) is None
    assert looked_at(b"") is None
    assert looked_at(written(SOPClassUID="1.2.840.10008.1.3.10")) is None


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFF, 0x00FFFFFF])
def test_no_length_in_a_file_decides_how_much_memory_is_used(length):
    claimed = length.to_bytes(4, "little")
    private, patient = b"\x29\0\x10\x10OB\0\0", b"\x10\0\x20\0"
    data = written().replace(private + b"\x64\0\0\0", private + claimed)
    implicit = written(ImplicitVRLittleEndian).replace(patient + b"\x08\0\0\0", patient + claimed)
    look = HeaderGlance()
    tracemalloc.start()
    try:
        assert looked_at(data, look) is UNSURE
        assert looked_at(implicit, look) is UNSURE
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_at_most_64_kib_of_a_file_are_read(tmp_path):
    look = HeaderGlance()
    for size_bytes, sure in ((1000, True), (40_000, True), (200_000, False)):
        path = tmp_path / str(size_bytes)
        path.write_bytes(written(EncapsulatedDocument=bytes(size_bytes)))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            assert (look.at(descriptor, path.stat().st_size) is not UNSURE) is sure
            assert os.lseek(descriptor, 0, os.SEEK_CUR) <= 64 << 10
        finally:
            os.close(descriptor)


def test_memory_for_what_recurs_is_bounded_and_forgetting_changes_nothing(monkeypatch):
    monkeypatch.setattr(glance, "MOST_SERIES", 2)
    monkeypatch.setattr(element_walk, "MOST_STEPS", 3)
    look = HeaderGlance()
    for number in range(12):
        assert agrees(written(SeriesInstanceUID=f"1.2.{number % 4}", InstanceNumber=str(10 ** (number % 5))), look)
    assert len(look._series) <= 2


def test_every_wanted_element_is_looked_for():
    assert {Tag(keyword) for keyword in HEADER_TAGS} == set(wanted_elements.TAGS)
    for tag, representations in wanted_elements.TAGS.items():
        assert {kind.decode() for kind in representations} == set(dictionary_VR(tag).split(" or "))


def test_tables_of_sequences_and_character_sets_are_pydicoms():
    assert {dictionary_VR(tag) for tag in element_walk.KNOWN_SEQUENCES} == {"SQ"}
    printable = bytes(range(32, 127))
    for name in element_walk.CHARACTER_SETS:
        assert decode_bytes(printable, [python_encoding[name]], TEXT_VR_DELIMS) == printable.decode("ascii")
