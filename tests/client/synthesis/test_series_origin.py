"""Whose a series is: the films' patient's and study's, or nobody's; whatever they say, it can be written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from client.dicom.parsing import quiet_pydicom
from client.header.film_identity import IDENTITY_TAGS, film_identity
from client.synthesis import SeriesOrigin
from client.synthesis.series_origin import new_uid

texts = st.text(max_size=120)


@given(st.dictionaries(st.sampled_from(sorted(set(IDENTITY_TAGS) - {"SpecificCharacterSet"})), texts, max_size=6))
def test_whatever_a_film_says_of_its_patient_can_be_written(written: dict[str, str]) -> None:
    film = Dataset()
    with quiet_pydicom():
        for keyword, value in written.items():
            setattr(film, keyword, value)
    made = Dataset()
    SeriesOrigin(identity=film_identity(film)).describe(made, "test")
    made.to_json()


def test_uids_are_new_and_below_the_root_of_uuids() -> None:
    made = [new_uid() for _ in range(20)]
    assert len(set(made)) == 20
    assert all(uid.is_valid and uid.startswith("2.25.") and len(uid) <= 64 for uid in made)


def test_nobodys_series_names_nobody_and_no_image() -> None:
    made = Dataset()
    SeriesOrigin().describe(made, "test")
    assert (str(made.PatientName), made.PatientID, made.PatientIdentityRemoved) == (
        "SYNTHETIC^RESEARCH",
        "SYNTHETIC",
        "YES",
    )
    assert "SourceImageSequence" not in made
    assert (made.PatientBirthDate, made.PatientSex, made.AccessionNumber) == ("", "", "")
