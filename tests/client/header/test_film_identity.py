"""Patient and study are taken as they can be written again, whatever a file says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from client.dicom.parsing import quiet_pydicom
from client.header import FilmIdentity
from client.header.film_identity import IDENTITY_TAGS, film_identity


def dataset(**written: object) -> Dataset:
    made = Dataset()
    with quiet_pydicom():
        for keyword, value in written.items():
            setattr(made, keyword, value)
    return made


def test_what_is_said_is_said_again() -> None:
    found = film_identity(
        dataset(
            PatientName="Müller^Ana",
            PatientID="7741",
            PatientBirthDate="19610704",
            PatientSex="F",
            StudyID="3",
            StudyDate="20260301",
            StudyTime="101500.5",
            AccessionNumber="A99",
            StudyDescription="SKULL",
            ReferringPhysicianName="House^G",
        )
    )
    assert found == FilmIdentity(
        *("Müller^Ana", "7741", "19610704", "F", "3", "20260301", "101500.5", "SKULL", "A99", "House^G")
    )
    assert "7741" not in repr(found)


@pytest.mark.parametrize(
    ("keyword", "written", "field"),
    [
        ("PatientBirthDate", "1961-07-04", "birth_date"),
        ("PatientSex", "W", "sex"),
        ("StudyTime", "10:15", "study_time"),
        ("StudyDate", "", "study_date"),
    ],
)
def test_what_has_no_legal_form_is_absent(keyword: str, written: str, field: str) -> None:
    assert getattr(film_identity(dataset(**{keyword: written})), field) == ""


def test_of_several_names_and_numbers_the_first_counts() -> None:
    found = film_identity(dataset(PatientName="First\\Second", PatientID=["1", "2"]))
    assert (found.patient_name, found.patient_id) == ("First", "1")


texts = st.text(max_size=300)


@given(st.dictionaries(st.sampled_from(sorted(set(IDENTITY_TAGS) - {"SpecificCharacterSet"})), texts, max_size=6))
def test_nothing_longer_or_stranger_than_its_element_holds(written: dict[str, str]) -> None:
    found = film_identity(dataset(**written))
    lines = found.patient_name, found.patient_id, found.description, found.referring
    assert all((len(line) <= 64 and line.isprintable()) or not line.isascii() for line in lines)
    assert max(len(found.study_id), len(found.accession)) <= 16
    assert not any("\\" in line for line in lines)
