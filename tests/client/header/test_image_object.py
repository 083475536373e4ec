"""A slice and a film say of their object what it says, in the same words."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from client.dicom.parsing import quiet_pydicom
from client.header import DamagedHeader, film_header, image_header
from client.header.image_object import ImageObject

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x3FF, exclude_characters="\\"), max_size=300)
WRITTEN = {
    "SOPClassUID": st.sampled_from(["", " 1.2 ", "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.2"]),
    "StudyInstanceUID": st.sampled_from(["", "1.3"]),
    "SeriesInstanceUID": st.sampled_from(["", "1.4"]),
    "PatientID": TEXT | st.sampled_from(["ANONYMOUS", "0000", "4711"]),
    "IssuerOfPatientID": TEXT,
    "Modality": st.sampled_from(["ct", "DX "]),
    "ImageType": st.lists(TEXT, max_size=40),
    "Manufacturer": TEXT,
    "Rows": st.integers(0, 65535),
    "NumberOfFrames": st.integers(0, 10**7),
}


def said(read, written, sop_class):
    made = Dataset()
    with quiet_pydicom():
        for keyword, value in written.items():
            setattr(made, keyword, value)
        try:
            found = read(made, sop_class, " 1.2.840.10008.1.2 ")
        except DamagedHeader:
            return "damaged"
    return found and {field.name: getattr(found, field.name) for field in fields(ImageObject)}


@given(st.fixed_dictionaries({}, optional=WRITTEN), st.sampled_from(["", "1.2.9 "]))
def test_a_slice_and_a_film_of_one_object_say_the_same_of_it(written, sop_class):
    assert said(image_header, written, sop_class) == said(film_header, written, sop_class)


def test_a_film_of_nobody_in_particular_is_of_no_patient():
    made = {"SOPClassUID": "1.2", "StudyInstanceUID": "1.3", "PatientID": "ANONYMOUS", "Modality": " dx "}
    found = said(film_header, made, "")
    assert (found["patient_id"], found["modality"], found["rows"], found["frames"]) == ("", "DX", 0, 1)
