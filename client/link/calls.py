"""Calls to the coordinator: repeated while it is away, ended by a stop, refused plainly where repeating cannot help."""

from __future__ import annotations

import queue
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, final

import httpx

from common.errors import ExitCode, Refusal
from common.trust import load_private_key, public_key_of, public_key_sha256

ADMISSION_PATIENCE_S = 45.0
"""Longer than the coordinator takes to notice that a site is gone, should this site have lost its node id."""

STOP_LOOK_S = 0.05
RETRY_FIRST_S = 0.25
RETRY_CAP_S = 20.0
CLOCK_AHEAD_S = 5.0
CLOCK_BEHIND_S = 300.0
"""Flower accepts a signature whose time lies at most this far ahead of, or behind, the coordinator's clock."""

_T = TypeVar("_T")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]{1,253}):[0-9]{1,5}")
_NOT_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_AWAY = frozenset({408, 429, 500, 502, 503, 504})


def wall_clock_s() -> float:
    """This computer's clock, in seconds since 1970."""
    return time.time()


class LinkEventKind(StrEnum):
    """What happened on the line."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    WAITING = "waiting"
    RECEIVED = "received"
    REPLIED = "replied"
    REFUSED = "refused"


@final
@dataclass(frozen=True)
class LinkEvent:
    """Something that happened on the line, in words for the site's log; never anything of a patient."""

    kind: LinkEventKind
    detail: str = ""


@final
@dataclass(frozen=True)
class Coordinator:
    """Where the coordinator is, and who this site is to it.

    Attributes:
        address: ``host:port``.
        ca_certificate: PEM of the consortium's authority.
        private_key: this site's key, OpenSSH PEM.
        state: folder that remembers this site's node id; one process at a time may use it.
        admission_patience_s: how long to go on knocking while the coordinator does not know the key.
    """

    address: str
    ca_certificate: bytes
    private_key: bytes
    state: Path
    admission_patience_s: float = ADMISSION_PATIENCE_S


class Stopped(Exception):
    """``stop`` was set."""


class KeyUnknown(Exception):
    """The coordinator does not accept the signature for this node id: it belongs to another key, or to none."""


class PreconditionFailed(Exception):
    """The node is not in the state that the call needs, or its key is not admitted."""


class KeyInUse(Exception):
    """Another process is connected with this site's key."""


class RunOver(Exception):
    """The run of a message is not running any more."""


@final
@dataclass
class Attempt:
    """Whether a call that failed may nevertheless have taken effect."""

    ambiguous: bool = False


@final
class Calls:
    """Makes calls for one site.

    Args:
        coordinator: whom the calls go to.
        stop: ends waiting and repeating.
        tell: told of each failed call before it is repeated.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if the address or the key is none.
    """

    def __init__(self, coordinator: Coordinator, stop: threading.Event, tell: Callable[[LinkEvent], None]) -> None:
        self._address = coordinator.address
        if not _ADDRESS.fullmatch(self._address):
            mend = "write host:port, without https://"
            where = f"coordinator's address '{self._address[:80]}'"
            raise Refusal(ExitCode.SETTINGS_INVALID, "not an address", where=where, mend=mend)
        self._fingerprint = public_key_sha256(
            public_key_of(load_private_key(coordinator.private_key, where="site key"))
        )
        self._stop = stop
        self._tell = tell

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond ``stop``."""
        until = time.monotonic() + seconds
        # Not by the event's own wait: a signal handler that sets the event meanwhile could lock this thread out.
        while not self._stop.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, STOP_LOOK_S))
        raise Stopped

    def make(self, call: Callable[[], _T], attempt: Attempt | None = None, *, of_run: bool = False) -> _T:
        """Make a call, and repeat it while the coordinator is away.

        Args:
            call: raises httpx errors where it fails.
            attempt: notes whether a failed try may have taken effect.
            of_run: whether the call belongs to a run, so that HTTP 403 means that the run is over.

        Raises:
            Stopped: once ``stop`` is set, even if the coordinator does not answer.
            RunOver, KeyUnknown, KeyInUse, PreconditionFailed: as the coordinator says.
            Refusal: ``COORDINATOR_UNREACHABLE`` if it is not the coordinator that answers,
                ``COORDINATOR_REFUSED_SITE`` if the clocks differ too much.
        """
        attempt, delay = attempt or Attempt(), RETRY_FIRST_S
        while True:
            try:
                return self._make_once(call)
            except httpx.HTTPStatusError as error:
                self._raise_for(error.response, of_run)
                why = f"HTTP {error.response.status_code}"
                attempt.ambiguous |= error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE
            except httpx.TransportError as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    mend = "check the authority's certificate in the invitation, and any proxy that opens TLS"
                    raise self._unreachable("the certificate there is not the consortium's", mend) from error
                why = f"{type(error).__name__}: {str(error)[:100]}"
                attempt.ambiguous |= not isinstance(error, _NOT_ARRIVED)
            except (httpx.RequestError, ValueError) as error:
                what = f"something else than the coordinator answers ({type(error).__name__})"
                raise self._unreachable(what) from error
            self._tell(LinkEvent(LinkEventKind.WAITING, f"{self._address}: {why}"))
            self.pause(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the sites, guards nothing
            delay = min(delay * 2, RETRY_CAP_S)

    def refused(self, what: str, mend: str = "") -> Refusal:
        """A refusal of this site by the coordinator."""
        mend = mend or f"ask the coordinator to admit the key with SHA-256 {self._fingerprint}"
        return Refusal(ExitCode.COORDINATOR_REFUSED_SITE, what, where=self._address, mend=mend)

    def _make_once(self, call: Callable[[], _T]) -> _T:
        self.pause(0)
        # In a thread of its own: a coordinator that does not answer must not hold up a stop.
        done: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                done.put((call(), None))
            except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                done.put((None, error))

        threading.Thread(target=run, name="site-call", daemon=True).start()
        while True:
            try:
                result, error = done.get(timeout=STOP_LOOK_S)
            except queue.Empty:
                self.pause(0)
                continue
            if error is not None:
                raise error
            value: _T = result
            return value

    def _raise_for(self, response: httpx.Response, of_run: bool) -> None:
        """Raise what a status means, unless repeating the call can mend it."""
        status = response.status_code
        if status == httpx.codes.UNAUTHORIZED:
            self._check_clock(response)
            raise KeyUnknown("the coordinator forgot this site")
        if status == httpx.codes.FORBIDDEN and of_run:
            raise RunOver
        if status == httpx.codes.PRECONDITION_FAILED:
            raise PreconditionFailed("the coordinator does not count this site as connected")
        if status == httpx.codes.CONFLICT:
            raise KeyInUse
        if status not in _AWAY:
            raise self._unreachable(f"something else than the coordinator answers (HTTP {status})")

    def _check_clock(self, response: httpx.Response) -> None:
        try:
            ahead_s = wall_clock_s() - parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return
        if not -CLOCK_BEHIND_S < ahead_s < CLOCK_AHEAD_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            what = f"this computer's clock is {abs(ahead_s):.0f} s {side} the coordinator's"
            raise self.refused(what, "set the clock, best by NTP, then start again")

    def _unreachable(
        self, what: str, mend: str = "check the coordinator's address in the settings, and any proxy on the way"
    ) -> Refusal:
        return Refusal(ExitCode.COORDINATOR_UNREACHABLE, what, where=self._address, mend=mend)
