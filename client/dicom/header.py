"""What the header of one CT slice says, cleaned of everything a hostile or careless writer can put into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, final

from pydantic import Field

if TYPE_CHECKING:
    from pydicom import Dataset

# DICOMDIR, then the classes of PS3.4 GG.3, which belong to no patient and no series.
WITHOUT_SERIES = frozenset(
    {"1.2.840.10008.1.3.10"}
    | {f"1.2.840.10008.5.1.4.{kind}.1" for kind in ("38", "39", "43", "44", "45")}
    | {f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("200.1", "200.3", "200.7", "201.1")}
)
LONGEST_TEXT = 256
MOST_WORDS = 32
MOST_NUMBERS = 6
LARGEST_NUMBER = 1e6
_NO_CONTRAST = frozenset({"", "NO", "NONE", "NOT APPLICABLE", "N/A", "NATIVE"})

HEADER_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "Modality",
    "ImageType",
    "Manufacturer",
    "KVP",
    "SliceThickness",
    "GantryDetectorTilt",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelRepresentation",
    "ContrastBolusAgent",
    "InstanceNumber",
)

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Number = Annotated[float, Field(gt=-LARGEST_NUMBER, lt=LARGEST_NUMBER, allow_inf_nan=False)]
Integer = Annotated[int, Field(gt=-LARGEST_NUMBER, lt=LARGEST_NUMBER)]
Vector = Annotated[tuple[Number, ...], Field(max_length=MOST_NUMBERS)]


class DamagedHeader(Exception):
    """A data set without what every image object has."""


@final
@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What one slice's header says. Identifiers are in clear: it stays in memory, and is never shown.

    Attributes:
        sop_class, transfer_syntax: DICOM UIDs; the transfer syntax is empty if the file states none.
        sop_instance, study, series: DICOM UIDs of the object, its study and its series.
        patient_id, issuer: Patient ID (0010,0020) and its issuer (0010,0021); empty if absent.
        modality, image_type, manufacturer: as stored, upper case.
        rows, columns: size of the slice in pixels.
        frames: frames that this header speaks for: 1, unless a multi-frame object could not be told apart by frame.
        orientation: direction cosines of the columns' index, then of the rows' index (0020,0037), LPS; empty if absent.
        position: centre of the first pixel in mm, LPS (0020,0032); empty if absent.
        pixel_spacing_mm: between rows, then between columns (0028,0030); empty if absent.
        thickness_mm: slice thickness, None if absent.
        slope, intercept: stored value to HU, None if absent.
        padding, padding_limit: stored value of pixels outside the field of view (0028,0120), and the other end of the
            range where they have several (0028,0121); None if absent.
        tilt_deg: Gantry/Detector Tilt (0018,1120), whose sign is the vendor's own; None if absent.
        kvp: tube voltage, None if absent.
        contrast: whether a contrast agent was given.
        number: instance number, or of a frame its place among the frames counted from 1; None if absent.
        frame: index of this slice among the frames of its object.
    """

    sop_class: Text = field(repr=False)
    sop_instance: Text = field(repr=False)
    study: Text = field(repr=False)
    series: Text = field(repr=False)
    patient_id: Text = field(repr=False)
    issuer: Text = field(repr=False)
    transfer_syntax: Text
    modality: Text
    image_type: Annotated[tuple[Text, ...], Field(max_length=MOST_WORDS)]
    manufacturer: Text
    rows: Integer
    columns: Integer
    frames: Integer
    orientation: Vector
    position: Vector
    pixel_spacing_mm: Vector
    thickness_mm: Number | None
    slope: Number | None
    intercept: Number | None
    padding: Integer | None
    padding_limit: Integer | None
    tilt_deg: Number | None
    kvp: Number | None
    contrast: bool
    number: Integer | None
    frame: Annotated[int, Field(ge=0)] = 0


def image_header(dataset: Dataset, sop_class: str = "", transfer_syntax: str = "") -> ImageHeader | None:
    """The header of a classic object, or of a multi-frame object taken as one; None for a DICOMDIR or palette.

    Texts are cut at 256 characters; numbers that are no finite numbers below a million count as absent.

    Args:
        dataset: with the tags of ``HEADER_TAGS``.
        sop_class: SOP Class UID of the file's meta information, believed if the data set has none.
        transfer_syntax: Transfer Syntax UID of the file's meta information.

    Raises:
        DamagedHeader: if the SOP class or the series is not said.
        Exception: whatever pydicom raises on damaged values.
    """
    sop_class = text(dataset, "SOPClassUID") or sop_class.strip()[:LONGEST_TEXT]
    if sop_class in WITHOUT_SERIES:
        return None
    series = text(dataset, "SeriesInstanceUID")
    if not series or not sop_class:
        raise DamagedHeader
    return ImageHeader(
        sop_class=sop_class,
        sop_instance=text(dataset, "SOPInstanceUID"),
        study=text(dataset, "StudyInstanceUID"),
        series=series,
        patient_id=text(dataset, "PatientID"),
        issuer=text(dataset, "IssuerOfPatientID"),
        transfer_syntax=transfer_syntax.strip()[:LONGEST_TEXT],
        modality=text(dataset, "Modality").upper()[:LONGEST_TEXT],
        image_type=words(dataset, "ImageType"),
        manufacturer=text(dataset, "Manufacturer").upper()[:LONGEST_TEXT],
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        frames=integer(dataset, "NumberOfFrames") or 1,
        orientation=vector(dataset, "ImageOrientationPatient"),
        position=vector(dataset, "ImagePositionPatient"),
        pixel_spacing_mm=vector(dataset, "PixelSpacing"),
        thickness_mm=positive(dataset, "SliceThickness"),
        slope=number(dataset, "RescaleSlope") or None,
        intercept=number(dataset, "RescaleIntercept"),
        padding=integer(dataset, "PixelPaddingValue"),
        padding_limit=integer(dataset, "PixelPaddingRangeLimit"),
        tilt_deg=number(dataset, "GantryDetectorTilt"),
        kvp=positive(dataset, "KVP"),
        contrast=names_agent(text(dataset, "ContrastBolusAgent")),
        number=integer(dataset, "InstanceNumber"),
    )


def names_agent(agent: str) -> bool:
    """Whether a Contrast/Bolus Agent (0018,0010) is one, and not a word for none."""
    return agent.upper() not in _NO_CONTRAST


def values(dataset: Dataset, keyword: str) -> list[Any]:
    """Every value of an element; none if it is absent, empty or bytes."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, bytes) or value == "":
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)


def text(dataset: Dataset, keyword: str) -> str:
    """The first value as text without space around it; empty if absent."""
    found = values(dataset, keyword)
    return _clean(found[0]).strip()[:LONGEST_TEXT] if found else ""


def words(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Every value in upper case, without space around it."""
    return tuple(_clean(word).strip().upper()[:LONGEST_TEXT] for word in values(dataset, keyword)[:MOST_WORDS])


def vector(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Every value as a number; empty if one of them is none, or if they are more than six."""
    try:
        numbers = tuple(float(value) for value in values(dataset, keyword))
    except (TypeError, ValueError):
        return ()
    possible = len(numbers) <= MOST_NUMBERS and all(abs(value) < LARGEST_NUMBER for value in numbers)
    return numbers if possible else ()


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a number."""
    numbers = vector(dataset, keyword)
    return numbers[0] if numbers else None


def positive(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a number above zero."""
    found = number(dataset, keyword)
    return found if found is not None and found > 0 else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The first value as a whole number."""
    found = number(dataset, keyword)
    return None if found is None else int(found)


def _clean(value: object) -> str:
    """A value as text that every encoding can hold."""
    return str(value).encode("utf-8", "replace").decode()
