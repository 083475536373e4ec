"""What the reading process and its parent say to each other: JSON behind its length, and descriptors beside it.

The parent takes every reply for hostile: strict models, capped sizes.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field

from client.header import MOST_FRAMES, FilmHeader, ImageHeader

DEFLATED_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
MOST_REPLY_BYTES = 8 << 20
# The kernel passes 253 descriptors at most with one message.
MOST_DESCRIPTORS = 64
VALUE_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
BYTES_PER_VALUE = 4
_LENGTH = struct.Struct("<I")


@final
class Fault(StrEnum):
    """Why a file could not be read. These words are all that is ever said of it."""

    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    CHANGED = "changed"
    NO_MEMORY = "no_memory"
    TOO_SLOW = "too_slow"
    CRASHED = "crashed"


@final
class Unreadable(Exception):
    """A file that cannot be read.

    Args:
        fault: why.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.value)


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@final
class HeadersRequest(_Message):
    """Asks for the headers of files, whose descriptors come beside it; one reply each, in order.

    Attributes:
        files: how many.
        films: whether they are read as projection radiographs.
    """

    call: Literal["headers"] = "headers"
    films: bool = False
    files: Annotated[int, Field(ge=1, le=MOST_DESCRIPTORS)]


@final
class WantedFrame(_Message):
    """One frame and where its values go.

    Attributes:
        rows, columns: size it must have.
        frame: its index in the object.
        offset: first byte of its values in the shared memory.
    """

    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]
    frame: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


@final
class FramesRequest(_Message):
    """Asks for stored values of frames. Descriptors beside it: one file for each, then the shared memory.

    Attributes:
        wanted: one reply each, in order.
    """

    call: Literal["frames"] = "frames"
    wanted: Annotated[tuple[WantedFrame, ...], Field(min_length=1, max_length=MOST_DESCRIPTORS)]


@final
class LayoutRequest(_Message):
    """Asks where one object, whose descriptor comes beside it, keeps its pixel data."""

    call: Literal["layout"] = "layout"


@final
class Ready(_Message):
    """The first thing the process says.

    Attributes:
        confined: whether it can open no file and reach no other process, as the kernel lets it promise.
    """

    ready: Literal[True] = True
    confined: bool = False


@final
class HeadersReply(_Message):
    """The headers of one file, nothing if it is no image object, or why it cannot be read."""

    images: Annotated[tuple[ImageHeader, ...], Field(min_length=1, max_length=MOST_FRAMES)] | None = None
    film: FilmHeader | None = None
    fault: Fault | None = None


@final
class FrameReply(_Message):
    """The type of the values that were written, or why they were not."""

    values: Literal["int8", "uint8", "int16", "uint16", "int32", "uint32"] | None = None
    fault: Fault | None = None


@final
class PixelLayout(_Message):
    """How an object's pixel data are coded, and where they are among its bytes.

    Attributes:
        syntax: Transfer Syntax UID.
        samples, photometric, planar, bits_allocated, bits_stored, high_bit, representation: the pixel module.
        start, length: bytes of the value of Pixel Data; of encapsulated data with the delimiter, of deflated ones none.
    """

    syntax: Annotated[str, Field(pattern=r"^1\.2\.840\.10008\.1\.2(\.(0|[1-9][0-9]{0,3})){0,3}$")]
    samples: Annotated[int, Field(ge=1, le=4)]
    photometric: Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")]
    planar: Annotated[int, Field(ge=0, le=1)] | None
    bits_allocated: Annotated[int, Field(ge=1, le=64)]
    bits_stored: Annotated[int, Field(ge=1, le=64)]
    high_bit: Annotated[int, Field(ge=0, le=63)]
    representation: Annotated[int, Field(ge=0, le=1)]
    start: Annotated[int, Field(ge=0)]
    length: Annotated[int, Field(ge=0)]


@final
class LayoutReply(_Message):
    """The layout of one object's pixel data, or why it cannot be read."""

    layout: PixelLayout | None = None
    fault: Fault | None = None


def send(channel: socket.socket, message: BaseModel, descriptors: Sequence[int] = ()) -> None:
    """Send a message with descriptors.

    Raises:
        OSError: if the other side is gone or does not listen.
    """
    content = message.model_dump_json().encode()
    head = _LENGTH.pack(len(content))
    if descriptors:
        socket.send_fds(channel, [head], list(descriptors))
    else:
        channel.sendall(head)
    channel.sendall(content)


def receive_reply(channel: socket.socket, deadline: float) -> bytes:
    """The next message for the parent.

    Args:
        channel: the parent's end.
        deadline: on the monotonic clock.

    Raises:
        TimeoutError: if it is not whole by then.
        OSError: if the other side is gone or says too much.
    """
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, deadline))
    if length > MOST_REPLY_BYTES:
        raise OSError("too much")
    return bytes(_exactly(channel, length, deadline))


def receive_request(channel: socket.socket) -> tuple[bytes, list[int]] | None:
    """The next message for the child with its descriptors; None if the parent is gone.

    Raises:
        OSError: if the message came without all of its descriptors.
    """
    head, descriptors, flags, _ = socket.recv_fds(channel, _LENGTH.size, MOST_DESCRIPTORS + 1)
    if not head:
        return None
    if flags & socket.MSG_CTRUNC:
        raise OSError("descriptors")
    (length,) = _LENGTH.unpack(head)
    return bytes(_exactly(channel, length, None)), descriptors


def _exactly(channel: socket.socket, count: int, deadline: float | None) -> bytearray:
    content = bytearray(count)
    view, got = memoryview(content), 0
    while got < count:
        if deadline is not None:
            # A wait of nothing would be one without an end.
            channel.settimeout(max(deadline - time.monotonic(), 0.001))
        received = channel.recv_into(view[got:])
        if received == 0:
            raise ConnectionResetError
        got += received
        if deadline is not None and got < count and time.monotonic() > deadline:
            raise TimeoutError
    return content
