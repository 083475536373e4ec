"""The parent's end of one reading process: started, spoken to within deadlines, and ended without a trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from typing import TypeVar, final

from pydantic import BaseModel, ValidationError

from client.dicom.limits import ReaderLimits
from client.dicom.wire import Fault, Ready, receive_reply, send
from common.errors import ExitCode, Refusal

MODULE = "client.dicom.reader_process"
# The child gets nothing of the site's environment that could hold a secret.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_STARTS = 2
# A process whose channel has closed is gone in a moment; one that only said something wrong runs on.
_REAP_SECONDS = 0.5

Message = TypeVar("Message", bound=BaseModel)


@final
class ChildLost(Exception):
    """The process died, was too slow, or said what it may not say.

    Args:
        fault: which of the three, as it is said of the file it was reading.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.value)


@final
class ReaderChild:
    """One reading process; ``confined`` says whether its kernel keeps it from opening files.

    Args:
        limits: what it may use.
        command: program and arguments, before the limits; a stand-in in tests.

    Raises:
        Refusal: ``CHILD_FAILED`` if it cannot be started.
    """

    def __init__(self, limits: ReaderLimits, command: Sequence[str] | None = None) -> None:
        self._limits = limits
        self._owner = os.getpid()
        for attempt in range(_STARTS):
            self._channel, self._process = _start(command or [sys.executable, "-m", MODULE], limits)
            # Also runs at the interpreter's exit: no child outlives its owner, and none is left unwaited.
            self._end = weakref.finalize(self, _end, os.getpid(), self._channel, self._process)
            try:
                self.confined = self.receive(Ready, limits.start_seconds).confined
            except ChildLost as error:
                self.close()
                if attempt == _STARTS - 1:
                    raise _refusal() from error
            else:
                return

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs still, and is this process's own."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, message: BaseModel, descriptors: Sequence[int] = ()) -> None:
        """Ask. That the process is gone or does not listen is noticed when its answer is missing."""
        self._channel.settimeout(self._limits.seconds)
        try:
            send(self._channel, message, descriptors)
        except OSError:
            return

    def receive(self, kind: type[Message], seconds: float | None = None) -> Message:
        """The next answer, checked against its model.

        Raises:
            ChildLost: if none comes in time, or if it is not of this kind.
        """
        deadline = time.monotonic() + (self._limits.seconds if seconds is None else seconds)
        try:
            return kind.model_validate_json(receive_reply(self._channel, deadline))
        except TimeoutError as error:
            raise ChildLost(Fault.TOO_SLOW) from error
        except (OSError, ValidationError) as error:
            # What the child said stays out of every message.
            raise ChildLost(Fault.TOO_SLOW if self._used_up_its_time() else Fault.CRASHED) from error

    def close(self) -> None:
        """End the process; it holds nothing worth waiting for."""
        self._end()

    def _used_up_its_time(self) -> bool:
        """Whether the kernel ended the process at its limit of processor time."""
        try:
            return self._process.wait(_REAP_SECONDS) == -signal.SIGXCPU
        except subprocess.TimeoutExpired:
            return False


def _start(command: Sequence[str], limits: ReaderLimits) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        arguments = (os.getpid(), limits.memory_bytes, limits.descriptors, limits.seconds)
        # One thread each: libraries reserve address space by the thread.
        alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=kept | alone,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise _refusal() from error
    return ours, process


def _end(owner: int, channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    # A forked copy of the owner holds the same names, but the process is not its own to end or to wait for.
    if os.getpid() != owner:
        process.returncode = 0
        return
    process.kill()
    process.wait()


def _refusal() -> Refusal:
    mend = "free some memory and start again; if it stays so, install this release anew"
    return Refusal(ExitCode.CHILD_FAILED, "the process that reads DICOM cannot be started", where=MODULE, mend=mend)
