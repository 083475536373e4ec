"""Whose film it is and of which study, as a series that is made from it has to say it again."""

from __future__ import annotations

import re
from collections.abc import MutableSequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from client.header.data_set_values import Text, said

if TYPE_CHECKING:
    from pydicom import Dataset

IDENTITY_TAGS: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
    *("StudyTime", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "SpecificCharacterSet"),
)
_DATE, _TIME = re.compile(r"[0-9]{8}"), re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?")
_UNWRITABLE = re.compile(r"[\\\x00-\x1f\x7f]")
_LONG, _SHORT = 64, 16


@final
@dataclass(frozen=True, slots=True)
class FilmIdentity:
    """Patient and study in clear: it stays in memory and in what is written for the hospital, and is never shown.

    Attributes:
        patient_name, patient_id, birth_date, sex: of the Patient Module, empty if absent.
        study_id, study_date, study_time, description, accession, referring: of the General Study Module, likewise.
    """

    patient_name: Text = field(default="", repr=False)
    patient_id: Text = field(default="", repr=False)
    birth_date: Text = field(default="", repr=False)
    sex: Text = field(default="", repr=False)
    study_id: Text = field(default="", repr=False)
    study_date: Text = field(default="", repr=False)
    study_time: Text = field(default="", repr=False)
    description: Text = field(default="", repr=False)
    accession: Text = field(default="", repr=False)
    referring: Text = field(default="", repr=False)


def film_identity(dataset: Dataset) -> FilmIdentity:
    """What a data set says of patient and study; a value that could not be written again is taken for absent."""
    sex = said(dataset, "PatientSex")
    return FilmIdentity(
        patient_name=_line(dataset, "PatientName", _LONG),
        patient_id=_line(dataset, "PatientID", _LONG),
        birth_date=_fitting(said(dataset, "PatientBirthDate"), _DATE),
        sex=sex if sex in {"M", "F", "O"} else "",
        study_id=_line(dataset, "StudyID", _SHORT),
        study_date=_fitting(said(dataset, "StudyDate"), _DATE),
        study_time=_fitting(said(dataset, "StudyTime"), _TIME),
        description=_line(dataset, "StudyDescription", _LONG),
        accession=_line(dataset, "AccessionNumber", _SHORT),
        referring=_line(dataset, "ReferringPhysicianName", _LONG),
    )


def _line(dataset: Dataset, keyword: str, longest: int) -> str:
    """An element of one value as decoded text; of several values the first."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, bytes):
        return ""
    several = value if isinstance(value, MutableSequence) else [value]
    written = str(several[0]) if several else ""
    clean = _UNWRITABLE.sub(" ", written).encode("utf-8", "replace").decode()
    return clean.strip()[:longest]


def _fitting(written: str, form: re.Pattern[str]) -> str:
    return written if form.fullmatch(written) else ""
