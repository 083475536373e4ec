"""What the header of one CT slice says, cleaned of everything a hostile or careless writer can put into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, final

from pydantic import Field

from client.header.contrast_words import names_agents
from client.header.data_set_values import (
    Integer,
    Number,
    Text,
    TimeOfDay,
    Vector,
    integer,
    largest,
    number,
    positive,
    said,
    said_words,
    text,
    time_of_day_s,
    values,
    vector,
    whole_number,
    words,
)
from client.header.derivation import is_computed, may_be_recompressed
from client.header.hounsfield import holds_hu
from client.header.image_object import OBJECT_TAGS, ImageObject, image_object

if TYPE_CHECKING:
    from pydicom import Dataset

ENHANCED_CT_STORAGE = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})

# What says contrast beside the agent itself; each is read as it is written, since a number may be badly written.
CONTRAST_TAGS = (
    "ContrastBolusRoute",
    "ContrastBolusVolume",
    "ContrastBolusStartTime",
    "ContrastBolusStopTime",
    "ContrastBolusTotalDose",
    "ContrastFlowRate",
    "ContrastFlowDuration",
    "ContrastBolusIngredient",
    "ContrastBolusIngredientConcentration",
)
HEADER_TAGS = (
    *OBJECT_TAGS,
    "KVP",
    "SliceThickness",
    "GantryDetectorTilt",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelRepresentation",
    "ContrastBolusAgent",
    "InstanceNumber",
    "AcquisitionTime",
    "DerivationDescription",
    "DerivationCodeSequence",
    "ContrastBolusAgentSequence",
    "ContrastBolusAdministrationRouteSequence",
    "MultienergyCTProcessingSequence",
    "MultienergyCTCharacteristicsSequence",
    "AcquisitionNumber",
    "FrameOfReferenceUID",
    "RescaleType",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    *CONTRAST_TAGS,
)
CONTRAST_SEQUENCES = ("ContrastBolusAgentSequence", "ContrastBolusAdministrationRouteSequence")
MULTI_ENERGY_SEQUENCES = ("MultienergyCTProcessingSequence", "MultienergyCTCharacteristicsSequence")


@final
@dataclass(frozen=True, slots=True)
class ImageHeader(ImageObject):
    """What one slice's header says beside what every image object does. It is never shown.

    It speaks for one frame, unless a multi-frame object could not be told apart by frame.

    Attributes:
        orientation: direction cosines of the columns' index, then of the rows' index (0020,0037), LPS; empty if absent.
        position: centre of the first pixel in mm, LPS (0020,0032); empty if absent.
        pixel_spacing_mm: between rows, then between columns (0028,0030); empty if absent.
        thickness_mm: slice thickness, None if absent.
        slope, intercept: stored value to HU, None if absent.
        padding, padding_limit: stored value of pixels outside the field of view (0028,0120), and the other end of the
            range where they have several (0028,0121); None if absent.
        tilt_deg: Gantry/Detector Tilt (0018,1120), whose sign is the vendor's own; None if absent.
        kvp: tube voltage, None if absent.
        contrast: whether a contrast agent was given, said by any of the attributes that say so.
        computed: whether the image is computed from others: a reformat, a projection, a map.
        hounsfield: whether values are HU as far as the header says.
        frame_of_reference: DICOM UID within which positions can be compared; empty if absent.
        number: instance number, or of a frame its place among the frames counted from 1; None if absent.
        acquisition: acquisition number (0020,0012), None if absent.
        acquired_s: time of the day of the acquisition (0008,0032) in seconds, None if absent.
        frame: index of this slice among the frames of its object.
    """

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
    computed: bool
    hounsfield: bool
    frame_of_reference: Text = field(repr=False)
    number: Integer | None
    acquisition: Integer | None
    acquired_s: TimeOfDay | None
    frame: Annotated[int, Field(ge=0)] = 0


def image_header(dataset: Dataset, sop_class: str = "", transfer_syntax: str = "") -> ImageHeader | None:
    """The header of a classic object, or of a multi-frame object taken as one; None for a DICOMDIR or palette.

    Texts are cut at 256 characters; numbers that are no finite numbers below a million count as absent.

    Args:
        dataset: with the tags of ``HEADER_TAGS``.
        sop_class: SOP Class UID of the file's meta information, believed if the data set has none.
        transfer_syntax: Transfer Syntax UID of the file's meta information.

    Raises:
        DamagedHeader: if the SOP class is not said, or neither series nor study.
        Exception: whatever pydicom raises on damaged values.
    """
    found = image_object(dataset, sop_class, transfer_syntax)
    if found is None:
        return None
    return ImageHeader(
        **asdict(found),
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
        contrast=_says_contrast(dataset, found.sop_class),
        computed=_is_computed(dataset, found.image_type),
        hounsfield=holds_hu(said(dataset, "RescaleType"), found.image_type, energies_kev(dataset)),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        number=integer(dataset, "InstanceNumber"),
        acquisition=whole_number(said(dataset, "AcquisitionNumber")),
        acquired_s=time_of_day_s(said(dataset, "AcquisitionTime")),
    )


def _says_contrast(dataset: Dataset, sop_class: str) -> bool:
    if names_agents(words(dataset, "ContrastBolusAgent")):
        return True
    if any(names_agents(said_words(dataset, keyword)) for keyword in CONTRAST_TAGS):
        return True
    # Of an Enhanced CT these belong to frames, which can deny them.
    return sop_class not in ENHANCED_CT_STORAGE and any(values(dataset, keyword) for keyword in CONTRAST_SEQUENCES)


def _is_computed(dataset: Dataset, image_type: tuple[str, ...]) -> bool:
    description = said_words(dataset, "DerivationDescription")
    codes: tuple[str, ...] = ()
    if may_be_recompressed(image_type, description):
        codes = tuple(said(item, "CodeValue") for item in values(dataset, "DerivationCodeSequence"))
    return is_computed(
        image_type,
        lossy=said(dataset, "LossyImageCompression") == "01",
        ratio=largest(said_words(dataset, "LossyImageCompressionRatio")),
        description=description,
        codes=codes,
    )


def energies_kev(dataset: Dataset) -> Iterator[float]:
    """Every Monoenergetic Energy Equivalent (0018,937C) in what a data set says of multi-energy CT."""
    for keyword in MULTI_ENERGY_SEQUENCES:
        for item in values(dataset, keyword):
            found = number(item, "MonoenergeticEnergyEquivalent")
            if found is not None:
                yield found
            yield from energies_kev(item)
