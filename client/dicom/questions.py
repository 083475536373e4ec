"""What the parent asks of the reading process: files opened here, gathered in batches, with memory for their pixels."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from client.dicom.plain_file import MAXIMUM_FILE_BYTES, OPENING_BYTES, has_prefix, may_be_dicom, open_plain
from client.dicom.wire import (
    BYTES_PER_VALUE,
    Fault,
    FrameReply,
    FramesRequest,
    HeadersReply,
    HeadersRequest,
    WantedFrame,
)
from client.header import FilmHeader, ImageHeader

MOST_PIXELS = 1 << 24
BATCH_FILES = 32
BATCH_BYTES = 32 << 20

Stored = NDArray[Any]


@final
@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that holds an image object.

    Attributes:
        size_bytes, modified_ns: the file's state when its header was read.
        images: one header, or of an Enhanced CT one for each frame.
    """

    size_bytes: int
    modified_ns: int
    images: tuple[ImageHeader, ...]


@final
@dataclass(frozen=True, slots=True)
class ReadFilm:
    """A file that holds an image object, read as a film.

    Attributes:
        size_bytes: the file's size when its header was read.
        film: its header.
    """

    size_bytes: int
    film: FilmHeader


@final
@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose values are wanted.

    Attributes:
        path: the file; never shown.
        rows, columns: size that its header said.
        frame: index among the object's frames.
        size_bytes: size of the file when its header was read; None to take it as it is.
    """

    path: Path = field(repr=False)
    rows: int
    columns: int
    frame: int = 0
    size_bytes: int | None = None


@final
@dataclass(slots=True)
class Batch:
    """Questions that are asked with one message.

    Attributes:
        request: makes the message for the questions from an index on.
        files: one open file for each question.
        shared: descriptor of the memory for the answers, if they need one.
        answered: questions that are answered.
    """

    request: Callable[[int], BaseModel]
    files: list[BinaryIO]
    shared: int | None = None
    answered: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether nothing is left to be answered."""
        return self.answered == len(self.files)

    @property
    def descriptors(self) -> list[int]:
        """What goes with the message for the questions that are not answered."""
        files = [file.fileno() for file in self.files[self.answered :]]
        return files if self.shared is None else [*files, self.shared]

    def close(self) -> None:
        """Close what is open; memory that is mapped stays."""
        for file in self.files:
            file.close()
        if self.shared is not None:
            os.close(self.shared)
            self.shared = None


@final
@dataclass(frozen=True, slots=True)
class HeaderQuestion:
    """A file whose header is asked for.

    Attributes:
        size_bytes, modified_ns: the file's state.
        prefixed: whether it is DICOM by its prefix.
    """

    size_bytes: int
    modified_ns: int
    prefixed: bool

    def answer(self, reply: HeadersReply | Fault) -> ReadFile | ReadFilm | Fault | None:
        """The file's headers, why it cannot be read, or None if it is no DICOM image object."""
        fault = reply if isinstance(reply, Fault) else reply.fault
        if fault is not None:
            return fault if self.prefixed else None
        if not isinstance(reply, Fault) and reply.film is not None:
            return ReadFilm(self.size_bytes, reply.film)
        if isinstance(reply, Fault) or reply.images is None:
            return None
        return ReadFile(self.size_bytes, self.modified_ns, reply.images)


@final
@dataclass(frozen=True, slots=True)
class FrameQuestion:
    """A frame that is asked for, and the memory its values will be in."""

    wanted: WantedFrame
    memory: mmap.mmap

    def answer(self, reply: FrameReply | Fault) -> Stored | Fault:
        """The values, (row, column), read-only, or why there are none."""
        fault = reply if isinstance(reply, Fault) else reply.fault
        if fault is not None:
            return fault
        if isinstance(reply, Fault) or reply.values is None:
            return Fault.CRASHED
        shape = self.wanted.rows, self.wanted.columns
        return np.ndarray(shape, np.dtype(reply.values), self.memory, self.wanted.offset)


def header_batches(
    paths: Iterable[Path], entries: deque[HeaderQuestion | Fault | None], *, films: bool = False
) -> Iterator[Batch]:
    """Files to be asked for their headers; each path also adds to ``entries`` its question, or its answer if known."""
    files: list[BinaryIO] = []
    try:
        for path in paths:
            opened = _open_for_header(path)
            if isinstance(opened, tuple):
                entry, stream = opened
                entries.append(entry)
                files.append(stream)
            else:
                entries.append(opened)
            if len(files) == BATCH_FILES:
                full, files = files, []
                yield _headers_batch(full, films=films)
        full, files = files, []
        yield _headers_batch(full, films=films)
    finally:
        for file in files:
            file.close()


def frame_batches(frames: Iterable[Frame], entries: deque[FrameQuestion | Fault]) -> Iterator[Batch]:
    """Frames to be asked for, with memory for each; each frame also adds to ``entries`` its question or its fault."""
    group: list[Frame] = []
    for frame in frames:
        size_bytes = sum(_frame_bytes(member) for member in group) + _frame_bytes(frame)
        if group and (len(group) == BATCH_FILES or size_bytes > BATCH_BYTES):
            yield _frames_batch(group, entries)
            group = []
        group.append(frame)
    yield _frames_batch(group, entries)


def _headers_batch(files: list[BinaryIO], *, films: bool) -> Batch:
    return Batch(lambda answered: HeadersRequest(files=len(files) - answered, films=films), files)


def _frames_batch(group: Iterable[Frame], entries: deque[FrameQuestion | Fault]) -> Batch:
    opened = [(frame, _open_for_pixels(frame)) for frame in group]
    files = [(frame, stream) for frame, stream in opened if not isinstance(stream, Fault)]
    size_bytes = sum(_frame_bytes(frame) for frame, _ in files)
    if not size_bytes:
        entries.extend(stream for _, stream in opened if isinstance(stream, Fault))
        return Batch(lambda _: FramesRequest(wanted=()), [])
    shared, memory = _shared_memory(size_bytes)
    wanted: list[WantedFrame] = []
    offset = 0
    for frame, stream in opened:
        if isinstance(stream, Fault):
            entries.append(stream)
            continue
        wanted.append(WantedFrame(rows=frame.rows, columns=frame.columns, frame=frame.frame, offset=offset))
        entries.append(FrameQuestion(wanted[-1], memory))
        offset += _frame_bytes(frame)
    return Batch(lambda answered: FramesRequest(wanted=tuple(wanted[answered:])), [file for _, file in files], shared)


def _frame_bytes(frame: Frame) -> int:
    return BYTES_PER_VALUE * frame.rows * frame.columns


def _shared_memory(size_bytes: int) -> tuple[int, mmap.mmap]:
    """Memory that a process given its descriptor may fill, but neither shrink nor grow: read-only here."""
    descriptor = os.memfd_create("tomoray-pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size_bytes)
    # Were it cut short, reading it here would end this process.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor, mmap.mmap(descriptor, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ)


def _open_for_header(path: Path) -> tuple[HeaderQuestion, BinaryIO] | Fault | None:
    try:
        stream = open_plain(path)
    except OSError:
        return Fault.DAMAGED
    try:
        opening = os.pread(stream.fileno(), OPENING_BYTES, 0)
        status = os.fstat(stream.fileno())
    except OSError:
        stream.close()
        return Fault.DAMAGED
    prefixed = has_prefix(opening)
    if may_be_dicom(opening) and status.st_size <= MAXIMUM_FILE_BYTES:
        return HeaderQuestion(status.st_size, status.st_mtime_ns, prefixed), stream
    stream.close()
    return Fault.TOO_LARGE if prefixed else None


def _open_for_pixels(frame: Frame) -> BinaryIO | Fault:
    if not (frame.rows > 0 and frame.columns > 0 and frame.rows * frame.columns <= MOST_PIXELS):
        return Fault.TOO_LARGE
    try:
        stream = open_plain(frame.path)
    except OSError:
        return Fault.DAMAGED
    size_bytes = os.fstat(stream.fileno()).st_size
    if size_bytes > MAXIMUM_FILE_BYTES or frame.size_bytes not in (None, size_bytes):
        stream.close()
        return Fault.CHANGED
    return stream
