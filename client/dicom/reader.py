"""Reads headers and pixels of hostile files through a limited process: whatever a file does, it costs only itself.

Files are opened here, without following links, and passed as descriptors. Pixels come back in memory that is made here
and sized by what the header said. A file that ends the process is tried once more in a fresh one, since the process may
have been ended by something else; then it counts as unreadable, as one that stalls the process does at its deadline.
The next file gets a fresh process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, final

from pydantic import BaseModel

from client.dicom.child import ChildLost
from client.dicom.held_child import HeldChild
from client.dicom.limits import ReaderLimits
from client.dicom.questions import (
    Batch,
    Frame,
    FrameQuestion,
    HeaderQuestion,
    ReadFile,
    ReadFilm,
    Stored,
    frame_batches,
    header_batches,
)
from client.dicom.wire import Fault, FrameReply, HeadersReply

# The batch whose answers are worked on, and the one that is read meanwhile.
_BATCHES_SENT = 2
_shared = threading.local()

Reply = TypeVar("Reply", bound=BaseModel)


@final
class Reader(HeldChild):
    """Reads files of an archive; while the answers to one batch are worked on, the process reads the next."""

    def __init__(self, limits: ReaderLimits | None = None, command: Sequence[str] | None = None) -> None:
        super().__init__(limits, command)
        self._turn = 0
        self._waiting = False

    @property
    def child_pid(self) -> int | None:
        """The process that reads at the moment, if one was started."""
        return None if self._child is None else self._child.pid

    @property
    def is_confined(self) -> bool:
        """Whether the process that reads at the moment can open no file; older kernels cannot keep it from that."""
        return self._child is not None and self._child.confined

    def headers(self, paths: Iterable[Path]) -> Generator[ReadFile | Fault | None]:
        """One answer a path, in order: its headers, why it cannot be read, or None if it is no DICOM image object.

        A file without DICOM's prefix that cannot be read is none. The iterator must be used up or closed before the
        reader is used again.

        Raises:
            Refusal: ``CHILD_FAILED`` if the process cannot be started.
        """
        for answer in self._header_answers(paths, films=False):
            yield Fault.CRASHED if isinstance(answer, ReadFilm) else answer

    def films(self, paths: Iterable[Path]) -> Generator[ReadFilm | Fault | None]:
        """The same of projection radiographs: one answer a path, its header as a film.

        Raises:
            Refusal: ``CHILD_FAILED`` if the process cannot be started.
        """
        for answer in self._header_answers(paths, films=True):
            yield Fault.CRASHED if isinstance(answer, ReadFile) else answer

    def _header_answers(self, paths: Iterable[Path], *, films: bool) -> Generator[ReadFile | ReadFilm | Fault | None]:
        entries: deque[HeaderQuestion | Fault | None] = deque()
        for reply in self._exchange(header_batches(paths, entries, films=films), HeadersReply):
            while not isinstance(entry := entries.popleft(), HeaderQuestion):
                yield entry
            yield entry.answer(reply)
        yield from (entry for entry in entries if not isinstance(entry, HeaderQuestion))

    def frames(self, wanted: Iterable[Frame]) -> Generator[Stored | Fault]:
        """Stored values of each frame, in order: (row, column) of an integer type, read-only; or why there are none.

        Frames of one multi-frame object should follow each other: then it is read once. The iterator must be used up or
        closed before the reader is used again.

        Raises:
            Refusal: ``CHILD_FAILED`` if the process cannot be started.
        """
        entries: deque[FrameQuestion | Fault] = deque()
        for reply in self._exchange(frame_batches(wanted, entries), FrameReply):
            while not isinstance(entry := entries.popleft(), FrameQuestion):
                yield entry
            yield entry.answer(reply)
        yield from (entry for entry in entries if not isinstance(entry, FrameQuestion))

    def _exchange(self, batches: Iterator[Batch], kind: type[Reply]) -> Generator[Reply | Fault]:
        """The reply to each question of each batch, while the next batch is read already."""
        self._begin()
        turn = self._turn
        sent: deque[Batch] = deque()
        try:
            while True:
                while len(sent) < _BATCHES_SENT and (batch := next(batches, None)) is not None:
                    if batch.files:
                        sent.append(batch)
                        self._ask(batch)
                if not sent:
                    return
                reply = self._reply(sent, kind)
                if sent[0].is_answered:
                    sent.popleft().close()
                yield reply
                if turn != self._turn:
                    raise RuntimeError("the reader was used again before its last answers were taken")
        finally:
            for batch in sent:
                batch.close()
            if turn == self._turn:
                self._waiting = False
                # Answers that nobody waits for must not be taken for the next ones.
                if sent:
                    self.close()

    def _begin(self) -> None:
        if self._waiting:
            self.close()
        self._close_dead()
        self._waiting = True
        self._turn += 1

    def _reply(self, sent: deque[Batch], kind: type[Reply]) -> Reply | Fault:
        """The reply to the first question that is not answered; whatever costs two processes is at fault itself."""
        again = True
        while True:
            try:
                reply: Reply | Fault = self._started().receive(kind)
            except ChildLost as lost:
                self.close()
                reply = lost.fault
                if again and lost.fault is not Fault.TOO_SLOW:
                    again = False
                    self._ask_again(sent)
                    continue
                sent[0].answered += 1
                self._ask_again(sent)
                return reply
            sent[0].answered += 1
            return reply

    def _ask_again(self, sent: Iterable[Batch]) -> None:
        for batch in sent:
            if not batch.is_answered:
                self._ask(batch)

    def _ask(self, batch: Batch) -> None:
        self._started().send(batch.request(batch.answered), batch.descriptors)


def shared_reader() -> Reader:
    """This thread's reader, with the usual limits; its process ends with the thread or the interpreter."""
    reader: Reader | None = getattr(_shared, "reader", None)
    if reader is None:
        reader = _shared.reader = Reader()
    return reader
