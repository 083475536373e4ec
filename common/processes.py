"""Processes: children that never outlive their parent, what they refused, and one process at a time."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from common.errors import ExitCode, Refusal
from common.files import disk_refusals

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
# mallopt's name for the size from which a block is mapped alone, in malloc.h of the GNU C library.
_M_MMAP_THRESHOLD = -3
_OWN_MAPPING_BYTES = 4 * 1024 * 1024
_COMMAND = re.compile(r"^tomoray-[a-z]+: ")


def return_freed_blocks() -> None:
    """Let this process give large blocks back to the system as soon as they are freed.

    The GNU C library keeps blocks of up to 32 MiB for itself once some were freed, and fragments between them: after
    two training steps at 128 cubed that was 0.4 GB. With another C library nothing changes.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)


def start_child(
    command: Sequence[str],
    log: Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output appended to ``log``; it dies with this process.

    Args:
        command: program and arguments.
        log: file for standard output and error, or None to share this process's.
        environment: variables added to this process's.
        stdin: what the child reads from standard input.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE`` if the log cannot be opened.
    """
    if log is None:
        return _start(command, None, environment, stdin)
    with disk_refusals(log), log.open("ab") as stream:
        return _start(command, stream, environment, stdin)


def stop_children(children: Sequence[subprocess.Popen[bytes]], patience_s: float) -> None:
    """Ask all to end, and after ``patience_s`` end what is left, with everything in their process groups."""
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    for child in children:
        try:
            child.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            _kill_group(child)
            child.wait()
        _kill_group(child)


@contextmanager
def sole_process(lock: Path) -> Iterator[None]:
    """Holds a lock file for this process alone; the kernel frees it however the process ends.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if another process holds it; ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    with disk_refusals(lock):
        stream = lock.open("ab")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what, where = "another process is at work here", str(lock.parent)
            mend = "stop the other process, or give this one a state folder of its own"
            raise Refusal(ExitCode.SETTINGS_INVALID, what, where=where, mend=mend) from error
        yield


def failure(status: int, log: Path) -> Refusal:
    """What a child process that ended with ``status`` refused: the last line of its log, and its exit code."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    said = _COMMAND.sub("", lines[-1]) if lines else "it said nothing"
    known = {int(code) for code in ExitCode}
    code = ExitCode(status) if status in known else ExitCode.CHILD_FAILED
    return Refusal(code, said, where=log.name, mend=f"see {log}")


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, or the parent's thread that started it; Linux only.

    Args:
        parent: the parent's process id; if it has gone already, this process ends here.
    """
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have gone before the request to the kernel was made.
    if os.getppid() != parent:
        os._exit(int(ExitCode.CHILD_FAILED))


def python_module(module: str, *arguments: str) -> list[str]:
    """Command line of one of our own modules, in this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def _start(
    command: Sequence[str], output: IO[bytes] | None, environment: Mapping[str, str] | None, stdin: bytes | None
) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid()) if sys.platform == "linux" else None,
    )
    if stdin is not None and child.stdin is not None:
        child.stdin.write(stdin)
        child.stdin.close()
    return child


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
