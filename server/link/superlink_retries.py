"""How calls of the SuperLink are repeated while it is away, and what their failure refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import httpx
from flwr.supercore.retry import RetryInvoker, exponential

from common.errors import ExitCode, Refusal

PATIENCE_S = 120.0
"""How long a call is repeated while the SuperLink is away, e.g. restarting."""

FAILED = int(httpx.codes.INTERNAL_SERVER_ERROR)
AWAY = frozenset({FAILED, *range(502, 505)})


def retries(stop: Callable[[], bool], away: Collection[int]) -> RetryInvoker:
    """Flower's retries: while the SuperLink is away, as the statuses in ``away`` say; these may change meanwhile."""

    def give_up(error: Exception) -> bool:
        return stop() or (isinstance(error, httpx.HTTPStatusError) and error.response.status_code not in away)

    def wait(seconds: float) -> None:
        until = time.monotonic() + seconds
        while not stop() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    return RetryInvoker(
        lambda: exponential(base_delay=0.1, max_delay=2),
        (httpx.TransportError, httpx.HTTPStatusError),
        max_tries=None,
        max_time=PATIENCE_S,
        should_giveup=give_up,
        wait_function=wait,
    )


@contextmanager
def refusing(address: str) -> Iterator[None]:
    """Turns a failed call of the SuperLink into a refusal."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise superlink_refusal(address, "the run is stopped", "resume it to go on from its last round") from error
        raise superlink_refusal(
            address, f"the SuperLink answers HTTP {error.response.status_code}", _SEE_LOG
        ) from error
    except httpx.TransportError as error:
        raise superlink_refusal(address, f"the SuperLink gives no answer ({type(error).__name__})", _SEE_LOG) from error


_SEE_LOG = "see superlink.log, then resume the run from its last round"


def superlink_refusal(address: str, what: str, mend: str) -> Refusal:
    """What the SuperLink refuses, and how to mend it."""
    return Refusal(ExitCode.SUPERLINK_FAILED, what, where=address, mend=mend)
