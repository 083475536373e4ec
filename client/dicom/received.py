"""Reads objects that came over the network, from memory, through the limited process."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from client.dicom.child import ChildLost
from client.dicom.held_child import HeldChild
from client.dicom.plain_file import has_prefix
from client.dicom.questions import MOST_PIXELS
from client.dicom.wire import (
    BYTES_PER_VALUE,
    DEFLATED_LITTLE_ENDIAN,
    Fault,
    FrameReply,
    FramesRequest,
    HeadersReply,
    HeadersRequest,
    LayoutReply,
    LayoutRequest,
    PixelLayout,
    WantedFrame,
)
from client.header import ImageHeader

Reply = TypeVar("Reply", bound=BaseModel)


@final
@dataclass(frozen=True, slots=True)
class ReceivedObject:
    """An image object and what is needed to write it anew.

    Attributes:
        images: one header, or of an Enhanced CT one for each frame.
        layout: how the pixel data are coded.
        pixels: the value of Pixel Data as received.
    """

    images: tuple[ImageHeader, ...]
    layout: PixelLayout
    pixels: memoryview = field(repr=False)


@final
class ObjectReader(HeldChild):
    """Reads received objects, one at a time."""

    def read(self, content: bytes) -> ReceivedObject | Fault | None:
        """An object's headers and pixel data, why it cannot be read, or None if it is no DICOM image object.

        Args:
            content: a DICOM file, as PS3.10 has it.

        Raises:
            Refusal: ``CHILD_FAILED`` if the process cannot be started.
        """
        if not has_prefix(content[:132]):
            return Fault.DAMAGED
        with _in_memory(content) as file:
            headers = self._ask(HeadersRequest(files=1), [file], HeadersReply)
            if isinstance(headers, Fault) or headers.fault is not None:
                return headers if isinstance(headers, Fault) else headers.fault
            if headers.images is None:
                return None
            reply = self._ask(LayoutRequest(), [file], LayoutReply)
            if isinstance(reply, Fault) or reply.layout is None:
                return reply if isinstance(reply, Fault) else reply.fault or Fault.CRASHED
            layout = reply.layout
            if layout.syntax == DEFLATED_LITTLE_ENDIAN:
                return self._inflated(file, headers.images, layout)
        if layout.start + layout.length > len(content):
            return Fault.CRASHED
        pixels = memoryview(content)[layout.start : layout.start + layout.length]
        return ReceivedObject(headers.images, layout, pixels)

    def _inflated(self, file: int, images: tuple[ImageHeader, ...], layout: PixelLayout) -> ReceivedObject | Fault:
        """A deflated object of one slice with its pixel data inflated: they have no place of their own in its bytes."""
        first = images[0]
        if (
            len(images) > 1
            or first.frames != 1
            or not 0 < first.rows * first.columns <= MOST_PIXELS
            or layout.samples > 1
        ):
            return Fault.TOO_LARGE
        wanted = WantedFrame(rows=first.rows, columns=first.columns, frame=0, offset=0)
        with _in_memory(bytes(BYTES_PER_VALUE * first.rows * first.columns)) as shared:
            reply = self._ask(FramesRequest(wanted=(wanted,)), [file, shared], FrameReply)
            if isinstance(reply, Fault) or reply.values is None:
                return reply if isinstance(reply, Fault) else reply.fault or Fault.CRASHED
            kind = np.dtype(reply.values)
            with mmap.mmap(shared, 0, access=mmap.ACCESS_READ) as memory:
                stored: NDArray[Any] = np.ndarray((first.rows, first.columns), kind, memory).astype(
                    kind.newbyteorder("<")
                )
        bits = 8 * kind.itemsize
        native = {"syntax": "1.2.840.10008.1.2.1", "bits_allocated": bits, "representation": int(kind.kind == "i")}
        stated = {"bits_stored": min(layout.bits_stored, bits), "high_bit": min(layout.high_bit, bits - 1)}
        plain = layout.model_copy(update={**native, **stated, "start": 0, "length": stored.nbytes})
        return ReceivedObject(images, plain, memoryview(stored.tobytes()))

    def _ask(self, request: BaseModel, files: Sequence[int], kind: type[Reply]) -> Reply | Fault:
        """The reply; a process that is lost over it is replaced once, for something else may have ended it."""
        fault = Fault.CRASHED
        for _ in range(2):
            self._close_dead()
            child = self._started()
            child.send(request, files)
            try:
                return child.receive(kind)
            except ChildLost as lost:
                self.close()
                fault = lost.fault
            if fault is Fault.TOO_SLOW:
                break
        return fault


@contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """Descriptor of a file that exists in memory alone, and that the reading process can neither cut nor lengthen."""
    descriptor = os.memfd_create("tomoray-object", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
