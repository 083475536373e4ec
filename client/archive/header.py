"""The header of one image object: read without its pixels, checked, and freed of every identifier."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, final

import pydicom.config
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from client.archive.pseudonym import Pseudonyms
from client.dicom import HEADER_TAGS, MAXIMUM_FILE_BYTES, ImageHeader, image_header, open_plain

_OPENING_BYTES = 4096
_PREAMBLE_BYTES = 128

Vector = tuple[float, ...]


@final
@dataclass(frozen=True)
class SliceHeader:
    """What quality control and decoding need of one image object. Nothing in it names a patient.

    Attributes:
        path: the file; never shown, since names of files may hold names of patients.
        size_bytes, modified_ns: the file's state when its header was read.
        instance: pseudonym of the SOP instance.
        sop_class: DICOM SOP Class UID.
        decodable: whether this installation can decode the transfer syntax.
        modality, image_type, manufacturer: as stored, upper case.
        rows, columns: size of the slice in pixels.
        frames: 1, unless this stands for a multi-frame object that could not be told apart by frame.
        orientation: direction cosines of the columns' index, then of the rows' index (0020,0037), LPS; empty if absent.
        position: centre of the first pixel in mm, LPS (0020,0032); empty if absent.
        pixel_spacing_mm: between rows, then between columns (0028,0030); empty if absent.
        thickness_mm: slice thickness, None if absent.
        slope, intercept: stored value to HU, None if absent.
        padding: stored value of pixels outside the field of view, None if absent.
        kvp: tube voltage, None if absent.
        contrast: whether a contrast agent was given.
        number: instance number, or of a frame its place among the frames counted from 1; None if absent.
        frame: index of this slice among the frames of its object.
    """

    path: Path = field(repr=False)
    size_bytes: int
    modified_ns: int
    instance: str
    sop_class: str
    decodable: bool
    modality: str
    image_type: tuple[str, ...]
    manufacturer: str
    rows: int
    columns: int
    frames: int
    orientation: Vector
    position: Vector
    pixel_spacing_mm: Vector
    thickness_mm: float | None
    slope: float | None
    intercept: float | None
    padding: int | None
    kvp: float | None
    contrast: bool = False
    number: int | None = None
    frame: int = 0

    @property
    def has_geometry(self) -> bool:
        """Whether position, orthonormal orientation, spacing and size are all there and possible."""
        if (len(self.orientation), len(self.position), len(self.pixel_spacing_mm)) != (6, 3, 2):
            return False
        row, column = self.orientation[:3], self.orientation[3:]
        unit = all(abs(math.hypot(*direction) - 1) < 1e-2 for direction in (row, column))
        square = abs(sum(a * b for a, b in zip(row, column, strict=True))) < 1e-2
        possible = all(0.05 <= spacing <= 10 for spacing in self.pixel_spacing_mm)
        return unit and square and possible and self.rows >= 32 and self.columns >= 32

    @property
    def matrix(self) -> tuple[int, int, float, float]:
        """Rows, columns and pixel spacing: equal for slices that stack."""
        row_mm, column_mm = self.pixel_spacing_mm
        return self.rows, self.columns, round(row_mm, 4), round(column_mm, 4)


class DamagedFile(Exception):
    """A file that is DICOM by its prefix and cannot be read as DICOM."""


def read_header(path: Path, pseudonyms: Pseudonyms) -> tuple[str, str, SliceHeader] | None:
    """Series and patient pseudonym with the header, or None if the file is no DICOM image object.

    Raises:
        DamagedFile: if it is DICOM by its prefix, and cannot be read.
    """
    prefixed = True
    try:
        with open_plain(path) as stream:
            opening = stream.read(_OPENING_BYTES)
            prefixed = opening[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM"
            if not prefixed and not _begins_as_data_set(opening):
                return None
            status = os.fstat(stream.fileno())
            # A deflated header would be inflated without a limit before the first tag could be read.
            if status.st_size > MAXIMUM_FILE_BYTES or DeflatedExplicitVRLittleEndian.encode() in opening:
                raise DamagedFile
            stream.seek(0)
            return _parsed(stream, path, status, pseudonyms)
    except Exception as error:  # hostile bytes: pydicom raises many types, and each means damaged
        if prefixed:
            raise DamagedFile from error
        return None


def _parsed(
    stream: BinaryIO, path: Path, status: os.stat_result, pseudonyms: Pseudonyms
) -> tuple[str, str, SliceHeader] | None:
    with quiet_pydicom():
        dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(HEADER_TAGS), force=True)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        sop_class = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
        image = image_header(dataset, sop_class, str(syntax or ""))
    if image is None:
        return None
    return slice_header(image, path, status.st_size, status.st_mtime_ns, pseudonyms)


def slice_header(
    image: ImageHeader, path: Path, size_bytes: int, modified_ns: int, pseudonyms: Pseudonyms
) -> tuple[str, str, SliceHeader]:
    """Series pseudonym, patient pseudonym, and the header with pseudonyms in place of every identifier.

    A patient without an identifier is known by the study, and without that by the series.
    """
    if image.patient_id:
        patient = pseudonyms.of("patient", image.patient_id, image.issuer)
    else:
        patient = pseudonyms.of("study", image.study or image.series)
    header = SliceHeader(
        path=path,
        size_bytes=size_bytes,
        modified_ns=modified_ns,
        instance=pseudonyms.of("instance", image.sop_instance),
        sop_class=image.sop_class,
        decodable=not image.transfer_syntax or _decodable(UID(image.transfer_syntax)),
        modality=image.modality,
        image_type=image.image_type,
        manufacturer=image.manufacturer,
        rows=image.rows,
        columns=image.columns,
        frames=image.frames,
        orientation=image.orientation,
        position=image.position,
        pixel_spacing_mm=image.pixel_spacing_mm,
        thickness_mm=image.thickness_mm,
        slope=image.slope,
        intercept=image.intercept,
        padding=image.padding,
        kvp=image.kvp,
        contrast=image.contrast,
        number=image.number,
        frame=image.frame,
    )
    return pseudonyms.of("series", image.series), patient, header


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """While it lasts, pydicom neither warns nor logs: its messages can quote values, and values can name patients."""
    logger = logging.getLogger("pydicom")
    was_disabled = logger.disabled
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = was_disabled


def _begins_as_data_set(opening: bytes) -> bool:
    """Whether a file without preamble starts with an element of group 0002 or 0008, as old archives store them."""
    if len(opening) < _PREAMBLE_BYTES:
        return False
    little = opening[:2] in (b"\x02\x00", b"\x08\x00") and opening[3] == 0
    big = opening[:2] in (b"\x00\x02", b"\x00\x08") and opening[2] == 0
    return little or big


def _decodable(syntax: UID) -> bool:
    if not syntax.is_transfer_syntax or syntax.is_private:
        return False
    if not syntax.is_compressed:
        return True
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False
