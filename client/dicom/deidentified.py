"""Writes an object anew from its headers and pixel data alone: nothing else that it said of a patient is copied.

Numbers are written as numbers, words only of the few kinds that quality control reads, and identifiers are given.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import final

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from client.dicom.received import ReceivedObject
from client.dicom.syntaxes import IMPLICIT_LITTLE_ENDIAN, NATIVE
from client.dicom.wire import PixelLayout
from client.header import ENHANCED_CT_STORAGE, PROCESSED, SECONDS_A_DAY, ImageHeader, holds_hu, is_computed

_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_STANDARD = re.compile(r"1\.2\.840\.10008(\.(0|[1-9][0-9]{0,4})){1,8}")
_WORD = re.compile(r"[A-Z0-9_ ]{0,16}")
_VENDOR = re.compile(r"[A-Z0-9_ .,&/()+-]{0,64}")
_UNDEFINED = 0xFFFFFFFF
_LARGEST_SIZE = 0xFFFF
_AGENT = "AGENT"
_OTHER = "OTHER"
_NO_DATE = "19000101"


class NotWritable(Exception):
    """An object whose header does not suffice to write it anew."""


@final
@dataclass(frozen=True, slots=True)
class Identity:
    """What an object is called in place of its own identifiers.

    Attributes:
        sop_instance, series, study: UIDs.
        patient_id: empty for a patient without an identifier.
        frame_of_reference: UID; empty for an object without one.
        clock_shift_s: added to times of the day, which then tell no more than what lies between them.
    """

    sop_instance: str
    series: str
    study: str
    patient_id: str
    frame_of_reference: str = ""
    clock_shift_s: float = 0.0


def deidentified(received: ReceivedObject, identity: Identity) -> tuple[bytes, memoryview, bytes]:
    """A DICOM file, in three parts, that says of itself what its headers say, under another identity.

    Pixel data are as received: still compressed, in the same transfer syntax (implicit becomes explicit).

    Raises:
        NotWritable: if it is of no standard class, or says no possible size.
    """
    first, layout = received.images[0], received.layout
    syntax = _EXPLICIT_LITTLE_ENDIAN if layout.syntax == IMPLICIT_LITTLE_ENDIAN else layout.syntax
    possible = all(0 < size <= _LARGEST_SIZE for size in (first.rows, first.columns)) and first.frames > 0
    if not (_STANDARD.fullmatch(first.sop_class) and possible):
        raise NotWritable
    dataset = _pixel_module(first, layout, max(first.frames, len(received.images)))
    dataset.SOPClassUID = first.sop_class
    dataset.SOPInstanceUID = identity.sop_instance
    dataset.StudyInstanceUID = identity.study
    dataset.SeriesInstanceUID = identity.series
    dataset.PatientID = identity.patient_id
    if identity.frame_of_reference:
        dataset.FrameOfReferenceUID = identity.frame_of_reference
    _describe(dataset, first)
    by_frame = first.sop_class in ENHANCED_CT_STORAGE and first.frames == 1
    if by_frame:
        dataset.PerFrameFunctionalGroupsSequence = [
            _functional_groups(image, identity.clock_shift_s) for image in received.images
        ]
    else:
        _place(dataset, first, identity.clock_shift_s)
    before, after = _pixel_element(layout, syntax)
    return _head(dataset, syntax) + before, received.pixels, after


def _head(dataset: Dataset, syntax: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta = meta
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _pixel_element(layout: PixelLayout, syntax: str) -> tuple[bytes, bytes]:
    """What stands before and after the value of Pixel Data."""
    order = ">" if syntax == _BIG_ENDIAN else "<"
    is_native = syntax in NATIVE
    kind = b"OW" if is_native and layout.bits_allocated > 8 else b"OB"
    length = layout.length + layout.length % 2 if is_native else _UNDEFINED
    return struct.pack(f"{order}HH2sHI", 0x7FE0, 0x0010, kind, 0, length), bytes(layout.length % 2 if is_native else 0)


def _pixel_module(first: ImageHeader, layout: PixelLayout, frames: int) -> Dataset:
    dataset = Dataset()
    dataset.Rows, dataset.Columns = first.rows, first.columns
    if frames > 1 or first.sop_class in ENHANCED_CT_STORAGE:
        dataset.NumberOfFrames = frames
    dataset.SamplesPerPixel = layout.samples
    dataset.PhotometricInterpretation = layout.photometric
    if layout.planar is not None:
        dataset.PlanarConfiguration = layout.planar
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
        layout.bits_allocated,
        layout.bits_stored,
        layout.high_bit,
    )
    dataset.PixelRepresentation = layout.representation
    low, high = (-0x8000, 0x7FFF) if layout.representation else (0, _LARGEST_SIZE)
    for keyword, value in (("PixelPaddingValue", first.padding), ("PixelPaddingRangeLimit", first.padding_limit)):
        if value is not None and low <= value <= high:
            dataset.add_new(keyword, "SS" if layout.representation else "US", value)
    return dataset


def _describe(dataset: Dataset, image: ImageHeader) -> None:
    dataset.Modality = image.modality if _WORD.fullmatch(image.modality) else "OT"
    dataset.ImageType, dataset.LossyImageCompression = _kind(image)
    if image.manufacturer and _VENDOR.fullmatch(image.manufacturer):
        dataset.Manufacturer = image.manufacturer


def _kind(image: ImageHeader) -> tuple[list[str], str]:
    """Image Type, and Lossy Image Compression, that say of an image whether it is computed; no more than before."""
    words = [word if _WORD.fullmatch(word) else _OTHER for word in image.image_type]
    if image.hounsfield and not holds_hu("", words):
        # At which energy stands elsewhere, and is not copied.
        words = [*words[:3], *[_OTHER] * len(words[3:])]
    for lossy in ("00", "01"):
        if is_computed(tuple(words), lossy=lossy == "01") == image.computed:
            return words, lossy
    if image.computed:
        return [*words, *[""] * (3 - len(words)), PROCESSED], "00"
    return ["DERIVED", "PRIMARY", "AXIAL"], "01"


def _place(dataset: Dataset, image: ImageHeader, clock_shift_s: float) -> None:
    """Of a classic object: where the slice is, what its values mean, how it was taken."""
    _set_vector(dataset, "ImageOrientationPatient", image.orientation)
    _set_vector(dataset, "ImagePositionPatient", image.position)
    _set_vector(dataset, "PixelSpacing", image.pixel_spacing_mm)
    _set_number(dataset, "SliceThickness", image.thickness_mm)
    _set_number(dataset, "RescaleSlope", image.slope)
    _set_number(dataset, "RescaleIntercept", image.intercept)
    _set_number(dataset, "KVP", image.kvp)
    _set_number(dataset, "GantryDetectorTilt", image.tilt_deg)
    if image.contrast:
        dataset.ContrastBolusAgent = _AGENT
    if not image.hounsfield:
        dataset.RescaleType = _OTHER
    if image.number is not None:
        dataset.InstanceNumber = image.number
    if image.acquisition is not None:
        dataset.AcquisitionNumber = image.acquisition
    if image.acquired_s is not None:
        dataset.AcquisitionTime = _clock(image.acquired_s + clock_shift_s)


def _functional_groups(image: ImageHeader, clock_shift_s: float) -> Dataset:
    """Of a frame of an Enhanced CT: the same."""
    orientation, position, measures, values, kind, tube, usage, gantry, content = (Dataset() for _ in range(9))
    _set_vector(orientation, "ImageOrientationPatient", image.orientation)
    _set_vector(position, "ImagePositionPatient", image.position)
    _set_vector(measures, "PixelSpacing", image.pixel_spacing_mm)
    _set_number(measures, "SliceThickness", image.thickness_mm)
    _set_number(values, "RescaleSlope", image.slope)
    _set_number(values, "RescaleIntercept", image.intercept)
    _set_number(tube, "KVP", image.kvp)
    _set_number(gantry, "GantryDetectorTilt", image.tilt_deg)
    kind.FrameType, _ = _kind(image)
    values.RescaleType = "HU" if image.hounsfield else _OTHER
    if image.acquisition is not None and 0 <= image.acquisition <= _LARGEST_SIZE:
        content.FrameAcquisitionNumber = image.acquisition
    if image.acquired_s is not None:
        content.FrameAcquisitionDateTime = _NO_DATE + _clock(image.acquired_s + clock_shift_s)
    usage.ContrastBolusAgentAdministered = "YES" if image.contrast else "NO"
    groups = Dataset()
    groups.PlaneOrientationSequence = [orientation]
    groups.PlanePositionSequence = [position]
    groups.PixelMeasuresSequence = [measures]
    groups.PixelValueTransformationSequence = [values]
    groups.CTImageFrameTypeSequence = [kind]
    groups.CTXRayDetailsSequence = [tube]
    groups.CTAcquisitionDetailsSequence = [gantry]
    groups.ContrastBolusUsageSequence = [usage]
    groups.FrameContentSequence = [content]
    return groups


def _clock(seconds: float) -> str:
    """A time of the day, to the microsecond."""
    whole_us = round(seconds * 1e6) % round(SECONDS_A_DAY * 1e6)
    minutes, microseconds = divmod(whole_us, 60_000_000)
    return f"{minutes // 60:02d}{minutes % 60:02d}{microseconds / 1e6:09.6f}"


def _set_vector(dataset: Dataset, keyword: str, numbers: tuple[float, ...]) -> None:
    if numbers:
        setattr(dataset, keyword, [DSfloat(number, auto_format=True) for number in numbers])


def _set_number(dataset: Dataset, keyword: str, number: float | None) -> None:
    if number is not None:
        setattr(dataset, keyword, DSfloat(number, auto_format=True))
