"""Pixel data decoded by pydicom and its plug-ins: only for the limited process, since what is decoded is hostile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, BinaryIO, final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_fragments, generate_frames, parse_basic_offsets
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from client.dicom.fragments import joined_fragments
from client.dicom.jpeg_extended import JPEG_EXTENDED
from client.dicom.parsing import quiet_pydicom
from client.dicom.plain_pixels import LARGEST_FILE_BYTES, PlainPixels
from client.dicom.stored_bits import stored_bits_of
from client.dicom.syntaxes import DECODERS, IMPLICIT_LITTLE_ENDIAN
from client.dicom.wire import VALUE_TYPES, Fault, Unreadable

_PIXEL_TAGS = [
    "PixelData",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
]

Stored = NDArray[Any]


@final
class PixelReader:
    """Decodes frames; the last multi-frame object stays parsed, so that each is read once for all of its frames."""

    def __init__(self) -> None:
        self._plain = PlainPixels()
        self._last: tuple[tuple[int, ...], _MultiFrame] | None = None
        decoder = get_decoder(UID(JPEG_EXTENDED))
        if DECODERS[JPEG_EXTENDED].plugin not in decoder.available_plugins:
            decoder.add_plugin(DECODERS[JPEG_EXTENDED].plugin, ("client.dicom.jpeg_extended", "decode_frame"))

    def stored_values(self, stream: BinaryIO, rows: int, columns: int, frame: int) -> Stored:
        """Values of one frame as stored: (row, column), an integer type of at most 32 bits, native byte order.

        Raises:
            Unreadable: if pixel data are missing, damaged, of another size, or do not fit into the process's memory.
        """
        try:
            with quiet_pydicom():
                stored = self._decoded(stream, (rows, columns), frame)
        except MemoryError as error:
            self._last = None
            raise Unreadable(Fault.NO_MEMORY) from error
        except Exception as error:  # hostile bytes: decoders raise many types, and each means damaged
            raise Unreadable(Fault.DAMAGED) from error
        if stored.shape != (rows, columns) or stored.dtype.name not in VALUE_TYPES:
            raise Unreadable(Fault.DAMAGED)
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)

    def _decoded(self, stream: BinaryIO, shape: tuple[int, int], frame: int) -> Stored:
        status = os.fstat(stream.fileno())
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._last is not None and self._last[0] == key:
            return self._last[1].decoded(frame)
        # Of two large objects only one fits.
        self._last = None
        stream.seek(0)
        if frame == 0 and status.st_size <= LARGEST_FILE_BYTES:
            plain = self._plain.values(stream.read(), *shape)
            if plain is not None:
                return plain
            stream.seek(0)
        dataset = dcmread(stream, specific_tags=list(_PIXEL_TAGS), force=True)
        dataset.file_meta.setdefault("TransferSyntaxUID", UID(IMPLICIT_LITTLE_ENDIAN))
        if (dataset.Rows, dataset.Columns) != shape:
            raise ValueError("size")
        frames = int(dataset.get("NumberOfFrames") or 1)
        if frames <= 1:
            if frame:
                raise ValueError("frame")
            return _pixels(dataset)
        self._last = key, _MultiFrame.of(dataset, frames)
        return self._last[1].decoded(frame)


@final
@dataclass(frozen=True)
class _MultiFrame:
    """A parsed object of several frames.

    Attributes:
        dataset: with its pixel data, unless they are encoded.
        frames: number of frames.
        encoded: bytes of each frame; empty if they are not encoded.
    """

    dataset: Dataset
    frames: int
    encoded: tuple[bytes, ...]

    @classmethod
    def of(cls, dataset: Dataset, frames: int) -> _MultiFrame:
        if not UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
            return cls(dataset, frames, ())
        # Told apart once: without a table of offsets, finding one frame means walking over all before it.
        offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
        table = (offsets[0], offsets[1]) if offsets[0] and offsets[1] else None
        encoded = _coded_frames(dataset.PixelData, frames, table)
        for keyword in ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            dataset.pop(keyword, None)
        dataset.NumberOfFrames = 1
        return cls(dataset, frames, encoded)

    def decoded(self, frame: int) -> Stored:
        if frame >= self.frames:
            raise IndexError("frame")
        if not self.encoded:
            return _pixels(self.dataset, index=frame)
        self.dataset.PixelData = encapsulate([self.encoded[frame]])
        self.dataset["PixelData"].is_undefined_length = True
        return _pixels(self.dataset)


def _coded_frames(value: bytes, frames: int, table: tuple[bytes, bytes] | None) -> tuple[bytes, ...]:
    if table is None and not parse_basic_offsets(value):
        fragments = tuple(generate_fragments(value))[1:]
        if len(fragments) != frames:
            return joined_fragments(fragments, frames)
    return tuple(generate_frames(value, number_of_frames=frames, extended_offsets=table))


def _pixels(dataset: Dataset, index: int | None = None) -> Stored:
    decoder = DECODERS.get(str(dataset.file_meta.TransferSyntaxUID))
    plugin = "" if decoder is None else decoder.plugin
    decoded = pixel_array(dataset, raw=True, index=index, decoding_plugin=plugin, correct_unused_bits=False)
    words: Stored = np.asarray(decoded)
    return stored_bits_of(words, int(dataset.BitsStored)) if words.ndim == 2 else words
