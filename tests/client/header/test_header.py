"""A header is cleaned the same way whatever a writer put into it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pydicom import Dataset

from client.dicom import HEADER_TAGS, DamagedHeader, ImageHeader, image_header
from client.dicom.parsing import quiet_pydicom
from client.header import LONGEST_TEXT

CHECKED = TypeAdapter(ImageHeader)
TEXTS = [
    "SOPInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "Modality",
    "Manufacturer",
    "ImageType",
]
NUMBERS = ["KVP", "SliceThickness", "PixelSpacing", "RescaleSlope", "RescaleIntercept", "InstanceNumber"]
values = st.one_of(st.text(max_size=400), st.integers(-(10**9), 10**9), st.floats(), st.lists(st.text(max_size=9)))


def dataset(**values):
    made = Dataset()
    made.SOPClassUID, made.SeriesInstanceUID = "1.2", "1.3"
    with quiet_pydicom():
        for keyword, value in values.items():
            setattr(made, keyword, value)
    return made


@given(st.dictionaries(st.sampled_from(TEXTS), values), st.dictionaries(st.sampled_from(NUMBERS), values))
def test_whatever_is_written_gives_a_header_that_the_parent_accepts_or_none(texts, numbers):
    try:
        written = dataset(**texts, **numbers)
    except (TypeError, ValueError, OverflowError):
        return  # pydicom itself writes no such value
    made = image_header(written, transfer_syntax="1.2.840.10008.1.2")
    assert CHECKED.validate_json(CHECKED.dump_json(made), strict=True) == made


@pytest.mark.parametrize("missing", ["SOPClassUID", "SeriesInstanceUID"])
def test_an_object_without_class_or_series_is_damaged(missing):
    made = dataset()
    del made[missing]
    with pytest.raises(DamagedHeader):
        image_header(made)


def test_the_class_of_the_files_own_information_is_believed_if_there_is_no_other():
    made = dataset()
    del made["SOPClassUID"]
    assert image_header(made, sop_class="1.2.9 ").sop_class == "1.2.9"


def test_a_directory_of_files_is_no_image():
    assert image_header(dataset(SOPClassUID="1.2.840.10008.1.3.10")) is None


def test_long_texts_are_cut_and_numbers_out_of_reach_are_absent():
    made = image_header(dataset(Manufacturer="a" * 999, PixelSpacing=["1e9", "1"], RescaleIntercept="-1e300"))
    assert made.manufacturer == "A" * LONGEST_TEXT
    assert made.pixel_spacing_mm == ()
    assert made.intercept is None


@pytest.mark.parametrize(
    ("agent", "contrast"), [("", False), ("NO", False), ("None", False), ("OMNIPAQUE 300", True), ("APPLIED", True)]
)
def test_a_word_for_no_agent_is_none(agent, contrast):
    assert image_header(dataset(ContrastBolusAgent=agent)).contrast is contrast


def test_a_slope_of_zero_is_absent_and_an_absent_number_of_frames_is_one():
    made = image_header(dataset(RescaleSlope="0", RescaleIntercept="0"))
    assert (made.slope, made.intercept, made.frames) == (None, 0.0, 1)
    assert not math.isnan(made.intercept)


def test_nothing_that_names_a_patient_is_shown():
    made = image_header(dataset(PatientID="SECRET", StudyInstanceUID="1.7741", IssuerOfPatientID="CLINIC"))
    for secret in ("SECRET", "7741", "CLINIC"):
        assert secret not in repr(made)
    assert "PatientName" not in HEADER_TAGS
