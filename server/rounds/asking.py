"""Asking sites, counting what travels, and reading how an answer failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import final

from flwr.app import RecordDict

from common.errors import ExitCode, Refusal
from common.exchange import RefusalCode, Request
from server.link import Answer, AnswerError, Line
from server.rounds.record import Outcome

POLL_S = 0.5
GRACE_S = 30.0


def _unheard(_site: str, _detail: str) -> None:
    """Nobody listens."""


@final
class Asker:
    """Asks over a line and counts what travels.

    Args:
        line: the line to the sites.
        stop: true ends all waiting.
        tell: told of what a person should look at, by site.
    """

    def __init__(self, line: Line, stop: Callable[[], bool], tell: Callable[[str, str], None] = _unheard) -> None:
        self.line = line
        self._stop = stop
        self._tell = tell
        self._sent_bytes = 0
        self._received_bytes = 0

    def ask(self, sites: Iterable[str], about: Request, record: RecordDict, timeout_s: float) -> Iterator[Answer]:
        """Answers as they complete, one for each site asked. A site offline for the whole grace is not waited for.

        Args:
            sites: whom to ask.
            about: the message that the record carries.
            record: what to send.
            timeout_s: for each site's answer.

        Raises:
            Refusal: ``INTERRUPTED`` if asked to stop.
        """
        asked = list(sites)
        online = self._await_online(set(asked), min(GRACE_S, timeout_s))
        for site in sorted(set(asked) - online):
            yield Answer(site, None, AnswerError.DISCONNECTED)
        present = {site: record for site in asked if site in online}
        self._sent_bytes += array_bytes(record) * len(present)
        for answer in self.line.ask(present, about, timeout_s, self._stop):
            for remark in answer.remarks:
                self._tell(answer.site, remark)
            self._received_bytes += array_bytes(answer.record) if answer.record is not None else 0
            yield answer
        self.check_stop()

    def take_traffic(self) -> tuple[int, int]:
        """Bytes of weights sent and received since the last call."""
        traffic = (self._sent_bytes, self._received_bytes)
        self._sent_bytes = self._received_bytes = 0
        return traffic

    def check_stop(self) -> None:
        """Raises ``Refusal`` with ``INTERRUPTED`` if asked to stop."""
        if self._stop():
            mend = "start the coordinator again: it resumes where it stood"
            raise Refusal(ExitCode.INTERRUPTED, "stopped", where="round loop", mend=mend)

    def pause(self, seconds: float) -> None:
        """Sleep, waking for a stop. Raises as :meth:`check_stop` does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check_stop()
            time.sleep(min(POLL_S, max(end - time.monotonic(), 0.0)))

    def _await_online(self, names: set[str], grace_s: float) -> set[str]:
        deadline = time.monotonic() + grace_s
        while not names <= (online := self.line.online()) and time.monotonic() < deadline:
            self.pause(POLL_S)
        return names & online


def content(answer: Answer) -> RecordDict:
    """The record of an answer.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` saying how the site failed.
    """
    if answer.record is not None:
        return answer.record
    code = answer.refusal or RefusalCode.INTERNAL
    said = {
        AnswerError.REFUSED_BY_SITE: f"site answered {code.value}",
        AnswerError.TIMED_OUT: "no reply before the deadline",
        AnswerError.DISCONNECTED: "site went offline",
        AnswerError.UNSIGNED: "answer was not signed with the site's key, and was dropped unread",
    }
    what = said[answer.error or AnswerError.TIMED_OUT]
    raise Refusal(ExitCode.EXCHANGE_INVALID, what, where=answer.site, mend="look at the site's log")


def outcome(answer: Answer) -> Outcome:
    """How a failed answer counts in the participation matrix."""
    if answer.record is not None:
        return Outcome.REFUSED_BY_COORDINATOR
    if answer.error is AnswerError.REFUSED_BY_SITE:
        return Outcome.REFUSED_BY_SITE
    if answer.error is AnswerError.UNSIGNED:
        return Outcome.REFUSED_BY_COORDINATOR
    return Outcome.TIMED_OUT


def array_bytes(record: RecordDict) -> int:
    """Bytes of weights in a record."""
    return sum(len(array.data) for arrays in record.array_records.values() for array in arrays.values())
