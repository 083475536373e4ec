"""The site's line to the coordinator: a fleet client of our own, in this one process.

It runs no code that arrives, and calls the installed answer for runs of this release and no others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from flwr.app import Message

from client.gate import Released
from client.link.calls import Coordinator, KeyUnknown, LinkEvent, LinkEventKind, PreconditionFailed, RunOver, Stopped
from client.link.session import Rejoin, Session, content_id
from common.errors import Refusal
from common.files import make_folder
from common.processes import sole_process

__all__ = ["Coordinator", "LinkEvent", "LinkEventKind", "serve"]

POLL_SOONEST_S = 0.2
POLL_LATEST_S = 2.0
POLL_SLOWDOWN = 0.02
REJOIN_S = 0.5


def serve(
    coordinator: Coordinator,
    answer: Callable[[Message], Released],
    *,
    admit: Callable[[Message, str], None],
    bundle_sha256: str,
    stop: threading.Event,
    on_event: Callable[[LinkEvent], None],
    refuse_bundle: Callable[[Message], Released],
) -> None:
    """Answer the coordinator's messages until ``stop`` is set; then say goodbye within 3 s and return.

    Connects whenever the coordinator can be reached, for as long as it takes. Only what ``answer`` (or
    ``refuse_bundle``) returns is sent.

    Args:
        coordinator: where to connect.
        answer: gives the reply to a message; runs in the calling thread. What it raises ends this call.
        admit: raises Refusal for a request that is not to be read, by its head and the id of its record; such a one is
            dropped unanswered, and nothing of it is fetched.
        bundle_sha256: of this release; messages of other runs are refused without being fetched.
        stop: ends the call; ``answer`` should look at it too.
        on_event: told what happens, from this thread or a helper of it.
        refuse_bundle: gives the reply to a message of another release, from its metadata alone.

    Raises:
        Refusal: ``COORDINATOR_REFUSED_SITE`` if the key is not admitted or the clocks differ too much,
            ``COORDINATOR_UNREACHABLE`` if something else than the coordinator answers at the address,
            ``SETTINGS_INVALID`` for a bad key or authority, or if another process uses the state folder,
            ``DISK_FULL`` or ``DISK_UNWRITABLE`` if the node id cannot be remembered.
    """
    make_folder(coordinator.state)
    lock = sole_process(coordinator.state / "fleet.lock")
    with lock, suppress(Stopped), Session(coordinator, stop, on_event) as session:
        while True:
            try:
                session.join()
                _work(session, answer, admit, bundle_sha256, refuse_bundle)
            except (Rejoin, KeyUnknown, PreconditionFailed) as reason:
                session.tell(LinkEventKind.DISCONNECTED, str(reason))
                session.pause(REJOIN_S)
    on_event(LinkEvent(LinkEventKind.DISCONNECTED, "stopped"))


def _work(
    session: Session,
    answer: Callable[[Message], Released],
    admit: Callable[[Message, str], None],
    bundle_sha256: str,
    refuse_bundle: Callable[[Message], Released],
) -> None:
    last_work = time.monotonic()
    while True:
        received = session.receive()
        if received is None:
            idle = time.monotonic() - last_work
            session.pause(min(max(idle * POLL_SLOWDOWN, POLL_SOONEST_S), POLL_LATEST_S))
            continue
        with suppress(RunOver):
            head, tree = received
            kind = head.metadata.message_type
            try:
                admit(head, content_id(tree))
            except Refusal as refusal:
                session.tell(LinkEventKind.REFUSED, f"{kind[:32]}: dropped unread: {refusal.what}")
                session.confirm(head)
                continue
            bundle = session.bundle_of(head)
            if bundle == bundle_sha256:
                message = session.fetch(head, tree)
                session.tell(LinkEventKind.RECEIVED, kind)
                reply = answer(message).message
                # A large request must not stay in memory while its reply is sent.
                del message
            else:
                session.tell(LinkEventKind.REFUSED, f"{kind}: bundle {bundle[:12]} is not this release's")
                session.confirm(head)
                reply = refuse_bundle(head).message
            if session.send(reply):
                session.tell(LinkEventKind.REPLIED, kind)
            del reply
        last_work = time.monotonic()
