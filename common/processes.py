"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from common.files import disk_refusals

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


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
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )
    if stdin is not None and child.stdin is not None:
        child.stdin.write(stdin)
        child.stdin.close()
    return child


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
