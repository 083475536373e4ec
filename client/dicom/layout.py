"""Where an object keeps its pixel data and how they are coded: only for the limited process, since it may be hostile.

With this and its headers, an object can be written anew without anything else it says.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO

from pydicom import dcmread

from client.dicom.parsing import quiet_pydicom
from client.dicom.syntaxes import IMPLICIT_LITTLE_ENDIAN, NATIVE
from client.dicom.wire import DEFLATED_LITTLE_ENDIAN, Fault, PixelLayout, Unreadable
from client.header import integer, text

if TYPE_CHECKING:
    from pydicom import Dataset

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM = (0xFFFE, 0xE000)
_DELIMITER = (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_LONG_FORMS = (b"OB", b"OW", b"UN")
_TAGS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "Rows",
    "Columns",
    "NumberOfFrames",
)


def pixel_layout(stream: BinaryIO) -> PixelLayout:
    """The pixel module of an image object and the place of its pixel data.

    Raises:
        Unreadable: if it is damaged, has no pixel data, or less than its header says.
    """
    try:
        with quiet_pydicom():
            stream.seek(0)
            dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
            syntax = str(dataset.file_meta.get("TransferSyntaxUID") or IMPLICIT_LITTLE_ENDIAN).strip()
            # Deflated pixel data have no place of their own in the bytes.
            start, length = (0, 0) if syntax == DEFLATED_LITTLE_ENDIAN else _pixel_data(stream, syntax)
            if syntax in NATIVE and syntax != DEFLATED_LITTLE_ENDIAN and length < _stated_bytes(dataset):
                raise ValueError("pixel data are cut short")
            return PixelLayout(
                syntax=syntax,
                samples=integer(dataset, "SamplesPerPixel") or 0,
                photometric=text(dataset, "PhotometricInterpretation").upper(),
                planar=integer(dataset, "PlanarConfiguration"),
                bits_allocated=integer(dataset, "BitsAllocated") or 0,
                bits_stored=integer(dataset, "BitsStored") or 0,
                high_bit=integer(dataset, "HighBit") or 0,
                representation=integer(dataset, "PixelRepresentation") or 0,
                start=start,
                length=length,
            )
    except MemoryError as error:
        raise Unreadable(Fault.NO_MEMORY) from error
    except Exception as error:  # hostile bytes: pydicom raises many types, and each means damaged
        raise Unreadable(Fault.DAMAGED) from error


def _pixel_data(stream: BinaryIO, syntax: str) -> tuple[int, int]:
    """First byte and length of the value; of encapsulated pixel data with the delimiter at its end."""
    order = ">" if syntax == _BIG_ENDIAN else "<"
    group, element, *_ = head = struct.unpack(f"{order}HH4s", _exactly(stream, 8))
    if (group, element) != _PIXEL_DATA:
        raise ValueError("no pixel data")
    if syntax == IMPLICIT_LITTLE_ENDIAN:
        (length,) = struct.unpack("<I", head[2])
    else:
        if head[2][:2] not in _LONG_FORMS:
            raise ValueError("pixel data of another kind")
        (length,) = struct.unpack(f"{order}I", _exactly(stream, 4))
    start = stream.tell()
    size = os.fstat(stream.fileno()).st_size
    if (length == _UNDEFINED) == (syntax in NATIVE):
        raise ValueError("pixel data coded otherwise than the file says")
    if length == _UNDEFINED:
        return start, _encapsulated_end(stream, size) - start
    if start + length > size:
        raise ValueError("pixel data are cut short")
    return start, length


def _encapsulated_end(stream: BinaryIO, size: int) -> int:
    """The byte after the last item's delimiter."""
    while True:
        group, element, length = struct.unpack("<HHI", _exactly(stream, 8))
        if (group, element) == _DELIMITER:
            return stream.tell()
        if (group, element) != _ITEM or length > size - stream.tell():
            raise ValueError("broken fragments")
        stream.seek(length, os.SEEK_CUR)


def _stated_bytes(dataset: Dataset) -> int:
    factors = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    bits = integer(dataset, "NumberOfFrames") or 1
    for factor in factors:
        bits *= integer(dataset, factor) or 0
    return bits // 8


def _exactly(stream: BinaryIO, count: int) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise ValueError("ends early")
    return content
