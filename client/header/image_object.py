"""What every image object says of itself, slice or film: which it is and whose, what made it, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client.header.data_set_values import LONGEST_TEXT, Integer, Text, Words, integer, text, word, words
from client.header.placeholders import names_nobody

if TYPE_CHECKING:
    from pydicom import Dataset

# DICOMDIR, then the classes of PS3.4 GG.3, which belong to no patient and no series.
WITHOUT_SERIES = frozenset(
    {"1.2.840.10008.1.3.10"}
    | {f"1.2.840.10008.5.1.4.{kind}.1" for kind in ("38", "39", "43", "44", "45")}
    | {f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("200.1", "200.3", "200.7", "201.1")}
)
OBJECT_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "Modality",
    "ImageType",
    "Manufacturer",
    "Rows",
    "Columns",
    "NumberOfFrames",
)


class DamagedHeader(Exception):
    """A data set without what every image object has."""


@dataclass(frozen=True, slots=True)
class ImageObject:
    """One image object. Identifiers are in clear: it stays in memory, and is never shown.

    Attributes:
        sop_class, transfer_syntax: DICOM UIDs; the transfer syntax is empty if the file states none.
        sop_instance, study, series: DICOM UIDs of the object, its study and its series.
        patient_id, issuer: Patient ID (0010,0020) and its issuer (0010,0021); empty if absent, or if it names
            nobody.
        modality, image_type, manufacturer: as stored, upper case.
        rows, columns: size of the image in pixels.
        frames: frames that this header speaks for.
    """

    sop_class: Text = field(repr=False)
    sop_instance: Text = field(repr=False)
    study: Text = field(repr=False)
    series: Text = field(repr=False)
    patient_id: Text = field(repr=False)
    issuer: Text = field(repr=False)
    transfer_syntax: Text
    modality: Text
    image_type: Words
    manufacturer: Text
    rows: Integer
    columns: Integer
    frames: Integer


def image_object(dataset: Dataset, sop_class: str, transfer_syntax: str) -> ImageObject | None:
    """What a data set says of its object; None for a DICOMDIR or palette.

    Args:
        dataset: with the tags of ``OBJECT_TAGS``.
        sop_class: SOP Class UID of the file's meta information, believed if the data set has none.
        transfer_syntax: Transfer Syntax UID of the file's meta information.

    Raises:
        DamagedHeader: if the SOP class is not said, or neither series nor study.
        Exception: whatever pydicom raises on damaged values.
    """
    sop_class = text(dataset, "SOPClassUID") or sop_class.strip()[:LONGEST_TEXT]
    if sop_class in WITHOUT_SERIES:
        return None
    series, study = text(dataset, "SeriesInstanceUID"), text(dataset, "StudyInstanceUID")
    if not (series or study) or not sop_class:
        raise DamagedHeader
    return ImageObject(
        sop_class=sop_class,
        sop_instance=text(dataset, "SOPInstanceUID"),
        study=study,
        series=series,
        patient_id=patient_named(text(dataset, "PatientID")),
        issuer=text(dataset, "IssuerOfPatientID"),
        transfer_syntax=transfer_syntax.strip()[:LONGEST_TEXT],
        modality=word(dataset, "Modality"),
        image_type=words(dataset, "ImageType"),
        manufacturer=word(dataset, "Manufacturer"),
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        frames=integer(dataset, "NumberOfFrames") or 1,
    )


def patient_named(patient_id: str) -> str:
    """A Patient ID, or nothing in place of one that names nobody."""
    return "" if names_nobody(patient_id) else patient_id
