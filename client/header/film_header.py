"""What the header of a projection radiograph says (DX, CR, XA, RF), cleaned as a slice's header is."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, final

from pydantic import Field

from client.header.data_set_values import (
    MOST_WORDS,
    Integer,
    Number,
    Text,
    TimeOfDay,
    Vector,
    Words,
    integer,
    number,
    numbers,
    said,
    text,
    time_of_day_s,
    values,
    vector,
    word,
    words,
)
from client.header.film_identity import IDENTITY_TAGS, FilmIdentity, film_identity
from client.header.image_object import OBJECT_TAGS, DamagedHeader, ImageObject, image_object

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_VERTICES = 256
MOST_TABLE_ENTRIES = 1 << 16
MOST_INCREMENTS = 4096
_DATE = re.compile(r"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})")
_EDGES = ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")
_PIXEL_MODULE = ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit")
FILM_TAGS = (
    *OBJECT_TAGS,
    *IDENTITY_TAGS,
    *("BodyPartExamined", "KVP", *_PIXEL_MODULE, "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("LossyImageCompression", "PresentationIntentType", "PixelIntensityRelationship"),
    *("PixelIntensityRelationshipSign", "PresentationLUTShape", "VOILUTFunction", "VOILUTSequence", "WindowWidth"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "RescaleType", "MaskSubtractionSequence"),
    *("ImagerPixelSpacing", "PixelSpacing", "PixelSpacingCalibrationType", "DistanceSourceToDetector"),
    *("DistanceSourceToPatient", "EstimatedRadiographicMagnificationFactor", "ViewCodeSequence", "ViewPosition"),
    *("PatientOrientation", "ImageLaterality", "FieldOfViewHorizontalFlip", "PositionerPrimaryAngle"),
    *("PositionerSecondaryAngle", "PositionerPrimaryAngleIncrement", "AcquisitionDate", "ContentDate", "StudyDate"),
    *("AcquisitionTime", "ContentTime"),
    *(f"{kind}{what}" for kind in ("Collimator", "Shutter") for what in ("Shape", *_EDGES)),
    *(f"CenterOfCircular{kind}" for kind in ("Collimator", "Shutter")),
    *(f"RadiusOfCircular{kind}" for kind in ("Collimator", "Shutter")),
    *(f"VerticesOfThePolygonal{kind}" for kind in ("Collimator", "Shutter")),
)

Vertices = Annotated[tuple[Integer, ...], Field(max_length=2 * MOST_VERTICES)]


@final
@dataclass(frozen=True, slots=True)
class Aperture:
    """What a collimator or shutter leaves open, in rows and columns counted from 1 (PS3.3 C.8.7.3, C.7.6.11).

    Attributes:
        shapes: RECTANGULAR, CIRCULAR, POLYGONAL; none where the header says nothing of it.
        edges: left and right column, upper and lower row, of a rectangle; empty if one is missing.
        centre: row and column of a circle's centre.
        radius: of a circle, in pixels.
        vertices: row and column of each corner of a polygon, in turn.
    """

    shapes: Words = ()
    edges: Vector = ()
    centre: Vector = ()
    radius: Number | None = None
    vertices: Vertices = ()


@final
@dataclass(frozen=True, slots=True)
class FilmHeader(ImageObject):
    """What one film's header says beside what every image object does. It is never shown.

    Attributes:
        kvp, padding, padding_limit: as of a slice.
        body_part, intent, relationship, lut_shape, voi_function, rescale_type, calibration_type, view_position,
            laterality, photometric: as stored, upper case; empty if absent.
        samples, bits_allocated, bits_stored, high_bit: the pixel module, None where it says nothing.
        signed: whether stored values have a sign.
        lossy: whether the image was compressed with loss.
        relationship_sign: 1 where more exposure is stored as more, -1 where as less; None if absent.
        voi_table: whether there is a VOI LUT Sequence.
        window_width: first window's width, None if absent.
        table_first, table: Modality LUT: the stored value its first entry stands for, and its entries.
        slope, intercept: stored value to modality value, None if absent.
        rescale_damaged: whether slope or intercept are written but are no numbers.
        subtracted: whether a mask was subtracted.
        imager_spacing_mm, pixel_spacing_mm: between rows, then columns; at the detector, and as calibrated.
        source_detector_mm, source_patient_mm, magnification: as stored, zero included; None if absent.
        view_codes: code values of the view and of its modifiers.
        view_meanings: what those codes are said to mean, upper case.
        orientation: Patient Orientation (0020,0020), along a row and down a column.
        flipped: whether the field of view was mirrored left to right.
        primary_deg, secondary_deg: positioner angles, None if absent.
        primary_steps_deg: what each frame adds to the first angle.
        collimator, shutter: what is open.
        day: day of the acquisition, counted as by :meth:`datetime.date.toordinal`; None if absent.
        time_s: its time of the day in seconds, None if absent.
        identity: whose it is and of which study, in clear.
    """

    body_part: Text
    samples: Integer | None
    photometric: Text
    bits_allocated: Integer | None
    bits_stored: Integer | None
    high_bit: Integer | None
    signed: bool
    padding: Integer | None
    padding_limit: Integer | None
    lossy: bool
    kvp: Number | None
    intent: Text
    relationship: Text
    relationship_sign: Integer | None
    lut_shape: Text
    voi_function: Text
    voi_table: bool
    window_width: Number | None
    table_first: Integer
    table: Annotated[tuple[Integer, ...], Field(max_length=MOST_TABLE_ENTRIES)] = field(repr=False)
    slope: Number | None
    intercept: Number | None
    rescale_damaged: bool
    rescale_type: Text
    subtracted: bool
    imager_spacing_mm: Vector
    pixel_spacing_mm: Vector
    calibration_type: Text
    source_detector_mm: Number | None
    source_patient_mm: Number | None
    magnification: Number | None
    view_codes: Words
    view_meanings: Words
    view_position: Text
    orientation: Words
    laterality: Text
    flipped: bool
    primary_deg: Number | None
    secondary_deg: Number | None
    primary_steps_deg: Annotated[tuple[Number, ...], Field(max_length=MOST_INCREMENTS)]
    collimator: Aperture
    shutter: Aperture
    day: Annotated[int, Field(ge=1, le=date.max.toordinal())] | None = field(repr=False)
    time_s: TimeOfDay | None = field(repr=False)
    identity: FilmIdentity = field(repr=False)


def film_header(dataset: Dataset, sop_class: str = "", transfer_syntax: str = "") -> FilmHeader | None:
    """The header of a projection radiograph, or of any object taken as one; None for a DICOMDIR or palette.

    Args:
        dataset: with the tags of ``FILM_TAGS``.
        sop_class, transfer_syntax: of the file's meta information.

    Raises:
        DamagedHeader: if the SOP class is not said, or neither series nor study.
        Exception: whatever pydicom raises on damaged values.
    """
    found = image_object(dataset, sop_class, transfer_syntax)
    if found is None:
        return None
    scale = {keyword: said(dataset, keyword) for keyword in ("RescaleSlope", "RescaleIntercept")}
    slope, intercept = (_finite(dataset, keyword) for keyword in scale)
    views = _view_items(dataset)
    table_first, table = _modality_table(dataset)
    return FilmHeader(
        **asdict(found),
        body_part=word(dataset, "BodyPartExamined"),
        samples=integer(dataset, "SamplesPerPixel"),
        photometric=word(dataset, "PhotometricInterpretation"),
        bits_allocated=integer(dataset, "BitsAllocated"),
        bits_stored=integer(dataset, "BitsStored"),
        high_bit=integer(dataset, "HighBit"),
        signed=bool(integer(dataset, "PixelRepresentation")),
        padding=integer(dataset, "PixelPaddingValue"),
        padding_limit=integer(dataset, "PixelPaddingRangeLimit"),
        lossy=said(dataset, "LossyImageCompression") == "01",
        kvp=_finite(dataset, "KVP"),
        intent=word(dataset, "PresentationIntentType"),
        relationship=word(dataset, "PixelIntensityRelationship"),
        relationship_sign=integer(dataset, "PixelIntensityRelationshipSign"),
        lut_shape=word(dataset, "PresentationLUTShape"),
        voi_function=word(dataset, "VOILUTFunction"),
        voi_table=bool(values(dataset, "VOILUTSequence")),
        window_width=_finite(dataset, "WindowWidth"),
        table_first=table_first,
        table=table,
        slope=slope,
        intercept=intercept,
        rescale_damaged=any(
            scale[name] and value is None for name, value in zip(scale, (slope, intercept), strict=True)
        ),
        rescale_type=word(dataset, "RescaleType"),
        subtracted=bool(values(dataset, "MaskSubtractionSequence")),
        imager_spacing_mm=vector(dataset, "ImagerPixelSpacing"),
        pixel_spacing_mm=vector(dataset, "PixelSpacing"),
        calibration_type=word(dataset, "PixelSpacingCalibrationType"),
        source_detector_mm=_finite(dataset, "DistanceSourceToDetector"),
        source_patient_mm=_finite(dataset, "DistanceSourceToPatient"),
        magnification=_finite(dataset, "EstimatedRadiographicMagnificationFactor"),
        view_codes=tuple(text(item, "CodeValue") for item in views),
        view_meanings=tuple(word(item, "CodeMeaning") for item in views),
        view_position=word(dataset, "ViewPosition"),
        orientation=words(dataset, "PatientOrientation"),
        laterality=word(dataset, "ImageLaterality"),
        flipped=word(dataset, "FieldOfViewHorizontalFlip") == "YES",
        primary_deg=_finite(dataset, "PositionerPrimaryAngle"),
        secondary_deg=_finite(dataset, "PositionerSecondaryAngle"),
        primary_steps_deg=numbers(values(dataset, "PositionerPrimaryAngleIncrement"), MOST_INCREMENTS),
        collimator=_aperture(dataset, "Collimator"),
        shutter=_aperture(dataset, "Shutter"),
        day=next(
            filter(None, (_day(said(dataset, f"{kind}Date")) for kind in ("Acquisition", "Content", "Study"))), None
        ),
        time_s=time_of_day_s(said(dataset, "AcquisitionTime") or said(dataset, "ContentTime")),
        identity=film_identity(dataset),
    )


def _finite(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a number, or None: one that is badly written does not damage the film."""
    try:
        return number(dataset, keyword)
    except (ValueError, OverflowError):
        return None


def _view_items(dataset: Dataset) -> list[Any]:
    views = values(dataset, "ViewCodeSequence")[:MOST_WORDS]
    modifiers = [item for view in views for item in values(view, "ViewModifierCodeSequence")]
    return [*views, *modifiers][:MOST_WORDS]


def _modality_table(dataset: Dataset) -> tuple[int, tuple[int, ...]]:
    """First stored value and entries of the Modality LUT Sequence (PS3.3 C.11.1); no entries where there is none."""
    for item in values(dataset, "ModalityLUTSequence")[:1]:
        descriptor = vector(item, "LUTDescriptor")
        data = item.get("LUTData")
        if isinstance(data, bytes):
            data = [int.from_bytes(data[place : place + 2], "little") for place in range(0, len(data) - 1, 2)]
        entries = [data] if isinstance(data, int) else list(data or ())
        count = int(descriptor[0]) or MOST_TABLE_ENTRIES if len(descriptor) == 3 else -1
        if count != len(entries) or count > MOST_TABLE_ENTRIES:
            raise DamagedHeader
        return int(descriptor[1]), tuple(int(entry) for entry in entries)
    return 0, ()


def _aperture(dataset: Dataset, kind: str) -> Aperture:
    edges = [_finite(dataset, f"{kind}{edge}") for edge in _EDGES]
    corners = numbers(values(dataset, f"VerticesOfThePolygonal{kind}"), 2 * MOST_VERTICES)
    return Aperture(
        words(dataset, f"{kind}Shape"),
        tuple(edge for edge in edges if edge is not None) if None not in edges else (),
        vector(dataset, f"CenterOfCircular{kind}"),
        _finite(dataset, f"RadiusOfCircular{kind}"),
        tuple(int(corner) for corner in corners),
    )


def _day(written: str) -> int | None:
    found = _DATE.fullmatch(written)
    if found is None:
        return None
    try:
        return date(*map(int, found.groups())).toordinal()
    except ValueError:
        return None
