"""Asks again, ever more slowly, while a PACS does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar, final

from client.pacs.session import ServerFault, Stopped, Unavailable
from common.errors import ExitCode, Refusal

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 15.0
MOST_SERVER_FAULTS = 4

Answer = TypeVar("Answer")


@final
class Patience:
    """How long a PACS may stay silent.

    Args:
        seconds: from the first failure of a question to the last time it is asked.
        halt: ends the waiting.
        where: the PACS's address, for the refusal.
    """

    def __init__(self, seconds: float, halt: threading.Event, where: str) -> None:
        self._seconds = seconds
        self._halt = halt
        self._where = where

    def ask(self, question: Callable[[], Answer], most_server_faults: int | None = None) -> Answer:
        """The answer to a question.

        Args:
            question: asks it once.
            most_server_faults: server faults that are taken for the answer; None takes none.

        Raises:
            ServerFault: after so many of them.
            Stopped: if the work is ended meanwhile.
            Refusal: ``PACS_UNREACHABLE`` if no answer came in time, or what the question refuses.
        """
        wait, faults = FIRST_WAIT_SECONDS, 0
        deadline: float | None = None
        while not self._halt.is_set():
            try:
                return question()
            except Unavailable as error:
                faults += isinstance(error, ServerFault)
                if faults and faults == most_server_faults:
                    raise
            now = time.monotonic()
            deadline = now + self._seconds if deadline is None else deadline
            if now >= deadline:
                raise self._refusal()
            self._halt.wait(min(wait, deadline - now))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        raise Stopped

    def _refusal(self) -> Refusal:
        what = f"the PACS did not answer for {self._seconds:.0f} s"
        mend = "check url, network and the PACS itself, then start again: what was retrieved is kept"
        return Refusal(ExitCode.PACS_UNREACHABLE, what, where=self._where, mend=mend)
