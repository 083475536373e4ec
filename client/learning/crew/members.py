"""The other ranks of one round as child processes: started, waited for, asked why they failed, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, final

import client
from client.learning.crew.order import Complaint, CrewOrder, is_ready
from common.errors import ExitCode, Refusal

MODULE = "client.learning.crew.member_process"
# Importing from a cold disk, and a first look at a GPU.
START_SECONDS = 300.0
# A process that has done its part has nothing left to write.
END_SECONDS = 10.0
# The status of a rank that only saw that another was lost.
LOST_ANOTHER = 3
_POLL_SECONDS = 0.05
# The kernel closes a process's connections before its status can be read.
_REAP_SECONDS = 2.0
# The children get nothing of the site's environment that could hold a secret.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")


@final
class Members:
    """Ranks 1 and up of a round, for as long as the context lasts; leaving it by an exception ends them at once.

    Args:
        folder: the round's private folder, with its order.
        order: the round.

    Raises:
        Refusal: ``CHILD_FAILED`` if one cannot be started.
    """

    def __init__(self, folder: Path, order: CrewOrder) -> None:
        self._folder = folder.absolute()
        self._order = order
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            for rank in range(1, self._order.count):
                self._processes[rank] = self._started(rank)
        except OSError as error:
            self._end(patience_s=0.0)
            raise self._refusal(f"a process for device {rank + 1} cannot be started") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(patience_s=END_SECONDS if kind is None else 0.0)

    def await_ready(self, stop: Callable[[], bool], patience_s: float) -> None:
        """Wait until all are about to meet this process.

        Args:
            stop: asked all along; true gives up.
            patience_s: for all of them.

        Raises:
            Refusal: what one refused, ``CHILD_FAILED`` if one ended or is too slow, ``INTERRUPTED`` if asked to stop.
        """
        deadline = time.monotonic() + patience_s
        while not all(is_ready(self._folder, rank) for rank in self._processes):
            if stop():
                mend = "start again: the round is repeated from its beginning"
                raise Refusal(ExitCode.INTERRUPTED, "training stopped", where=self._where, mend=mend)
            if any(process.poll() is not None for process in self._processes.values()):
                raise self.fault()
            if time.monotonic() > deadline:
                raise self._refusal(f"not every device's process was ready within {patience_s:g} s")
            time.sleep(_POLL_SECONDS)

    def fault(self) -> Refusal:
        """Why the ranks could not go on: what one refused or how one ended; otherwise, that one does not answer."""
        deadline = time.monotonic() + _REAP_SECONDS
        while not (failed := self._failed()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        complaints = (Complaint.read(self._folder, rank) for rank in self._processes)
        said = next((complaint for complaint in complaints if complaint is not None), None)
        if said is not None:
            return said
        for rank, status in failed.items():
            return self._refusal(f"the process of device {rank + 1} of {self._order.count} {_ending(status)}")
        return self._refusal(f"a device's process did not answer within {self._order.answer_seconds:g} s")

    @property
    def _where(self) -> str:
        return f"round {self._order.round}"

    def _failed(self) -> dict[int, int]:
        """Statuses by rank of those that ended for a reason of their own."""
        statuses = {rank: process.poll() for rank, process in self._processes.items()}
        return {rank: status for rank, status in statuses.items() if status not in (None, 0, LOST_ANOTHER)}

    def _started(self, rank: int) -> subprocess.Popen[bytes]:
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # This very code, whatever lies in the working directory.
        roots = [str(Path(client.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        own = {
            "PYTHONPATH": os.pathsep.join(filter(None, roots)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": str(self._order.threads),
            # Libraries keep caches there.
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, str(self._folder), str(rank), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=kept | own,
            start_new_session=True,
        )

    def _end(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                process.kill()
        for process in self._processes.values():
            process.wait()

    def _refusal(self, what: str) -> Refusal:
        mend = "the round is repeated when it is asked for again; if it stays so, free memory or lower devices"
        return Refusal(ExitCode.CHILD_FAILED, what, where=self._where, mend=mend)


def _ending(status: int) -> str:
    return f"was ended: {signal.strsignal(-status)}" if status < 0 else f"ended with status {status}"
