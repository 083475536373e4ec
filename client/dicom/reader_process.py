"""The process in which alone DICOM is parsed and decoded: ``python -m client.dicom.reader_process``.

It opens no path: files come as descriptors, pixels go into memory that its parent made. Whatever goes wrong with a file
is answered with a word; whatever goes wrong with the process ends it, and its parent starts another.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
from collections.abc import Sequence
from typing import Annotated, BinaryIO

import numpy as np
from pydantic import Field, TypeAdapter

from client.dicom.confinement import confine_this_process
from client.dicom.layout import pixel_layout
from client.dicom.limits import allow_processor_seconds, limit_this_process
from client.dicom.parsing import film_of, image_headers
from client.dicom.pixels import PixelReader
from client.dicom.wire import (
    MOST_REPLY_BYTES,
    Fault,
    FrameReply,
    FramesRequest,
    HeadersReply,
    HeadersRequest,
    LayoutReply,
    LayoutRequest,
    Ready,
    Unreadable,
    WantedFrame,
    receive_request,
    send,
)

_REQUEST: TypeAdapter[HeadersRequest | FramesRequest | LayoutRequest] = TypeAdapter(
    Annotated[HeadersRequest | FramesRequest | LayoutRequest, Field(discriminator="call")]
)


def main(arguments: Sequence[str]) -> None:
    """Serve the parent at the other end of standard input until it goes.

    Args:
        arguments: the parent's process id, bytes of memory, open files, seconds for one file or frame.
    """
    parent, memory_bytes, descriptors = (int(argument) for argument in arguments[:3])
    seconds = float(arguments[3])
    pixels = PixelReader()
    limit_this_process(memory_bytes, descriptors, parent)
    confined = confine_this_process()
    channel = socket.socket(fileno=0)
    send(channel, Ready(confined=confined))
    while (received := receive_request(channel)) is not None:
        content, files = received
        request = _REQUEST.validate_json(content)
        try:
            if isinstance(request, HeadersRequest):
                _answer_headers(channel, request, files, seconds)
            elif isinstance(request, LayoutRequest):
                _answer_layout(channel, files, seconds)
            else:
                _answer_frames(channel, request, files, pixels, seconds)
        finally:
            for file in files:
                os.close(file)


def _answer_headers(channel: socket.socket, request: HeadersRequest, files: Sequence[int], seconds: float) -> None:
    for file in files:
        allow_processor_seconds(seconds)
        try:
            with _opened(file) as stream:
                films = request.films
                reply = HeadersReply(film=film_of(stream)) if films else HeadersReply(images=image_headers(stream))
        except Unreadable as unreadable:
            reply = HeadersReply(fault=unreadable.fault)
        if len(reply.images or ()) > 1 and len(reply.model_dump_json()) > MOST_REPLY_BYTES:
            reply = HeadersReply(fault=Fault.TOO_LARGE)
        send(channel, reply)


def _answer_layout(channel: socket.socket, files: Sequence[int], seconds: float) -> None:
    allow_processor_seconds(seconds)
    (file,) = files
    try:
        with _opened(file) as stream:
            reply = LayoutReply(layout=pixel_layout(stream))
    except Unreadable as unreadable:
        reply = LayoutReply(fault=unreadable.fault)
    send(channel, reply)


def _answer_frames(
    channel: socket.socket, request: FramesRequest, files: Sequence[int], pixels: PixelReader, seconds: float
) -> None:
    *objects, shared = files
    # The parent keeps the memory; this is only where to write.
    with mmap.mmap(shared, 0) as memory:
        for wanted, file in zip(request.wanted, objects, strict=True):
            allow_processor_seconds(seconds)
            send(channel, _write_frame(memory, wanted, file, pixels))


def _write_frame(memory: mmap.mmap, wanted: WantedFrame, file: int, pixels: PixelReader) -> FrameReply:
    try:
        with _opened(file) as stream:
            stored = pixels.stored_values(stream, wanted.rows, wanted.columns, wanted.frame)
    except Unreadable as unreadable:
        return FrameReply(fault=unreadable.fault)
    target = np.ndarray(stored.shape, stored.dtype, memory, wanted.offset)
    target[...] = stored
    return FrameReply.model_validate({"values": stored.dtype.name})


def _opened(file: int) -> BinaryIO:
    return os.fdopen(file, "rb", closefd=False)


if __name__ == "__main__":
    main(sys.argv[1:])
