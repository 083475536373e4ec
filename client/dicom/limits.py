"""What the process that reads DICOM may use. Set by the process itself, before it reads anything."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from typing import final

MEBIBYTE = 1 << 20
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


@final
@dataclass(frozen=True)
class ReaderLimits:
    """Limits of a reading process.

    Attributes:
        memory_bytes: address space, the interpreter and its libraries (about 0.4 GiB) included.
        seconds: time for one file or one frame, on the clock and of the processor.
        start_seconds: time until the process is ready.
        descriptors: open files.
    """

    memory_bytes: int = 1536 * MEBIBYTE
    seconds: float = 60.0
    start_seconds: float = 120.0
    descriptors: int = 128


def limit_this_process(memory_bytes: int, descriptors: int, parent: int) -> None:
    """Bound this process: memory, open files, no files written, no processes, no core, no privileges, no orphan.

    Args:
        memory_bytes: address space.
        descriptors: open files.
        parent: process whose death ends this one.

    Raises:
        OSError: if the kernel refuses one of them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    options = ((_PR_SET_PDEATHSIG, int(signal.SIGKILL)), (_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1))
    for option, value in options:
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    # The parent may have gone before the request to the kernel was made.
    if os.getppid() != parent:
        raise OSError("no parent")
    for kind, bound in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, descriptors),
    ):
        _, highest = resource.getrlimit(kind)
        bound = bound if highest == resource.RLIM_INFINITY else min(bound, highest)
        resource.setrlimit(kind, (bound, bound))


def allow_processor_seconds(seconds: float) -> None:
    """Let this process use that much more of the processor before the kernel ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, highest = resource.getrlimit(resource.RLIMIT_CPU)
    # Whole seconds, and one to spare: the parent's clock comes first.
    until = int(usage.ru_utime + usage.ru_stime + seconds) + 2
    until = until if highest == resource.RLIM_INFINITY else min(until, highest)
    resource.setrlimit(resource.RLIMIT_CPU, (until, highest))
