"""The site's line to the coordinator: a fleet client of our own over Flower's HTTP client, in this one process.

This is the only module on the site's side that touches Flower's internals. It opens outgoing connections alone, runs
no code that arrives, and calls the installed answer for runs of this release and no others. Flower's own connection
(``flwr.supernode.fleet_http_connection``) is not used: it ends the process on a refused key, sends SIGINT to it after
an HTTP 401, retries for ever without looking at a stop, and loses a reply for good if one upload has to be repeated.
"""

from __future__ import annotations

import fcntl
import queue
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar, final

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Error, Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
    push_objects,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from common.errors import ExitCode, Refusal
from common.exchange import RefusalCode
from common.files import disk_refusals, make_folder, write_atomic
from common.trust import load_private_key, public_key_of, public_key_sha256

HEARTBEAT_S = 10.0
ONLINE_FOR_S = 15.0
"""Heartbeat interval told to the coordinator, which counts a site as offline after twice this time of silence."""

POLL_SOONEST_S = 0.2
POLL_LATEST_S = 2.0
POLL_SLOWDOWN = 0.02
RETRY_FIRST_S = 0.25
RETRY_CAP_S = 20.0
CALL_TIMEOUT_S = 60.0
UPLOAD_WAIT_S = 300.0
ADMISSION_PATIENCE_S = 30.0
STOP_GRACE_S = 1.0
GOODBYE_S = 0.9
CLOCK_AHEAD_S = 5.0
CLOCK_BEHIND_S = 300.0

_T = TypeVar("_T")
_NOT_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_AWAY = frozenset({408, 429, 500, 502, 503, 504})


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


def serve(
    coordinator: Coordinator,
    answer: Callable[[Message], Message],
    *,
    bundle_sha256: str,
    stop: threading.Event,
    on_event: Callable[[LinkEvent], None],
    refuse_bundle: Callable[[Message], Message] | None = None,
) -> None:
    """Answer the coordinator's messages until ``stop`` is set; then say goodbye within 3 s and return.

    Connects whenever the coordinator can be reached, for as long as it takes. Only what ``answer`` (or
    ``refuse_bundle``) returns is sent.

    Args:
        coordinator: where to connect.
        answer: gives the reply to a message; runs in the calling thread. What it raises ends this call.
        bundle_sha256: of this release; messages of other runs are refused without being fetched.
        stop: ends the call; ``answer`` should look at it too.
        on_event: told what happens, from this thread or a helper of it.
        refuse_bundle: gives the reply to a message of another release, from its metadata alone; by default a plain
            error with the refusal code.

    Raises:
        Refusal: ``COORDINATOR_REFUSED_SITE`` if the key is not admitted or the clocks differ too much,
            ``COORDINATOR_UNREACHABLE`` if something else than the coordinator answers at the address,
            ``SETTINGS_INVALID`` for a bad key or authority, ``USAGE`` if another process uses the state folder,
            ``DISK_FULL`` or ``DISK_UNWRITABLE`` if the node id cannot be remembered.
    """
    make_folder(coordinator.state)
    with _alone(coordinator.state / "fleet.lock"), _Session(coordinator, stop, on_event) as session:
        with suppress(_Stopped):
            while True:
                try:
                    session.join()
                    _work(session, answer, bundle_sha256, refuse_bundle or _plain_refusal)
                except (_Rejoin, _KeyUnknown) as reason:
                    session.tell(LinkEventKind.DISCONNECTED, str(reason))
    on_event(LinkEvent(LinkEventKind.DISCONNECTED, "stopped"))


class _Stopped(Exception):
    """``stop`` was set."""


class _Rejoin(Exception):
    """A message or reply may be lost: joining anew tells the coordinator to ask again."""


class _KeyUnknown(Exception):
    """The coordinator does not know the node id as this key's."""


class _RunOver(Exception):
    """The run of a message is not running any more."""


@final
@dataclass
class _Attempt:
    """Whether a call that failed may nevertheless have reached the coordinator."""

    ambiguous: bool = False


def _work(
    session: _Session,
    answer: Callable[[Message], Message],
    bundle_sha256: str,
    refuse_bundle: Callable[[Message], Message],
) -> None:
    last_work = time.monotonic()
    while True:
        received = session.receive()
        if received is None:
            idle = time.monotonic() - last_work
            session.pause(min(max(idle * POLL_SLOWDOWN, POLL_SOONEST_S), POLL_LATEST_S))
            continue
        with suppress(_RunOver):
            head, tree = received
            kind = head.metadata.message_type
            bundle = session.bundle_of(head)
            if bundle == bundle_sha256:
                message = session.fetch(head, tree)
                session.tell(LinkEventKind.RECEIVED, kind)
                reply = answer(message)
                # A large request must not stay in memory while its reply is sent.
                del message
            else:
                session.tell(LinkEventKind.REFUSED, f"{kind}: bundle {bundle[:12]} is not this release's")
                session.confirm(head)
                reply = refuse_bundle(head)
            if session.send(reply):
                session.tell(LinkEventKind.REPLIED, kind)
            del reply
        last_work = time.monotonic()


def _plain_refusal(message: Message) -> Message:
    return Message(Error(ErrorCode.INVALID_FAB, RefusalCode.BUNDLE_UNKNOWN.value), reply_to=message)


@final
class _Session:
    """The connection of one site: join, receive, fetch, send, heartbeat, leave."""

    def __init__(self, coordinator: Coordinator, stop: threading.Event, on_event: Callable[[LinkEvent], None]) -> None:
        self._coordinator = coordinator
        self._state = coordinator.state / "node_id"
        self._stop = stop
        self._on_event = on_event
        self._key = load_private_key(coordinator.private_key, where="site key")
        self._client = _client(coordinator, self._key, CALL_TIMEOUT_S)
        self._node: Node | None = None
        self._online = False
        self._closed = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="site-heartbeat", daemon=True)

    def __enter__(self) -> _Session:
        self._pulse.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        # A heartbeat that arrives after the goodbye would bring the node back online.
        self._pulse.join(STOP_GRACE_S / 2)
        self._leave()
        self._client.close()

    def tell(self, kind: LinkEventKind, detail: str) -> None:
        """Report an event."""
        self._on_event(LinkEvent(kind, detail))

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond ``stop``."""
        if self._stop.wait(seconds):
            raise _Stopped

    def join(self) -> None:
        """Become an online node, however long the coordinator is away."""
        self._online = False
        known = self._remembered()
        give_up = time.monotonic() + self._coordinator.admission_patience_s
        while True:
            # After a kill the coordinator still counts the node as online, and would not activate it twice.
            if known is not None and not self._deactivate(known):
                known = None
            if self._activate():
                return
            if time.monotonic() >= give_up:
                raise self._refused("the coordinator does not know this site's key")
            self.tell(LinkEventKind.WAITING, "the coordinator does not know this site's key yet")
            self.pause(min(2.0, self._coordinator.admission_patience_s))

    def receive(self) -> tuple[Message, ObjectTree] | None:
        """Head (metadata without content) and object tree of the next message, if one waits."""
        attempt, request = _Attempt(), PullMessagesRequest(node=self._node)
        response = self._call(lambda: self._client.PullMessages(request), attempt)
        if response.messages_list:
            return message_from_proto(response.messages_list[0]), response.message_object_trees[0]
        if attempt.ambiguous:
            # A message counts as delivered once it was pulled, even if the response got lost.
            raise _Rejoin("a message may have been lost")
        return None

    def bundle_of(self, head: Message) -> str:
        """SHA-256 of the bundle of the message's run."""
        request = GetRunRequest(node=self._node, run_id=head.metadata.run_id)
        return str(self._call(lambda: self._client.GetRun(request)).run.fab_hash)

    def fetch(self, head: Message, tree: ObjectTree) -> Message:
        """The message with its content."""
        names = [part.object_id for part in iterate_object_tree(tree)]
        # The low cap needs an unlimited number of tries, or a long upload on the other side would run out of them.
        patience = {"max_tries_per_object": None, "initial_backoff": 0.02, "backoff_cap": 1.0}
        try:
            contents = pull_objects(names, self._puller(head.metadata.run_id), max_time=UPLOAD_WAIT_S, **patience)
        except ObjectPullError as error:
            raise _Rejoin("a message did not arrive completely") from error
        self.confirm(head)
        message = inflate_object_from_contents(tree.object_id, contents)
        if not isinstance(message, Message):
            raise _Rejoin("a message was no message")
        message.metadata.__dict__["_message_id"] = tree.object_id
        return message

    def confirm(self, head: Message) -> None:
        """Let the coordinator drop its copy of a message."""
        metadata = head.metadata
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=metadata.run_id, message_object_id=metadata.message_id
        )
        self._call(lambda: self._client.ConfirmMessageReceived(request))

    def send(self, reply: Message) -> bool:
        """Send a reply in one upload session; False if the coordinator does not want it any more.

        Its root goes last, so that the coordinator knows by the root that all is there.
        """
        with no_object_id_recompute():
            root = reply.object_id
            reply.metadata.__dict__["_message_id"] = root
            request = PushMessagesRequest(
                node=self._node,
                messages_list=[message_to_proto(remove_content_from_message(reply))],
                message_object_trees=[get_object_tree(reply)],
                clientapp_runtime_list=[0.0],
            )
            attempt = _Attempt()
            response = self._call(lambda: self._client.PushMessages(request), attempt)
            wanted = set(response.objects_to_push)
            if root not in wanted:
                if attempt.ambiguous:
                    raise _Rejoin("a reply may have been lost")
                # The coordinator gave this message up: its deadline is over, or it asked anew.
                return False
            parts = get_all_nested_objects(reply)
            last = {root: parts.pop(root)}
            put = self._putter(reply.metadata.run_id, response.session_id)
            push_objects(parts, put, object_ids_to_push=wanted)
            push_objects(last, put)
        return True

    def _puller(self, run_id: int) -> Callable[[str], bytes]:
        def pull(object_id: str) -> bytes:
            request = PullObjectRequest(node=self._node, run_id=run_id, object_id=object_id)
            response = self._call(lambda: self._client.PullObject(request))
            if not response.object_found:
                raise ObjectPullError(object_id, "the coordinator dropped it")
            if not response.object_available:
                raise ObjectUnavailableError(object_id)
            return response.object_content

        return pull

    def _putter(self, run_id: int, session_id: str) -> Callable[[str, bytes], None]:
        def put(object_id: str, content: bytes) -> None:
            attempt = _Attempt()
            request = PushObjectRequest(
                node=self._node, run_id=run_id, session_id=session_id, object_id=object_id, object_content=content
            )
            stored = self._call(lambda: self._client.PushObject(request), attempt).stored
            # Pushing is not idempotent: repeating one whose response was lost answers "not stored", though it is.
            if not stored and not attempt.ambiguous:
                raise _Rejoin("the coordinator closed the upload of a reply")

        return put

    def _activate(self) -> bool:
        request = ActivateNodeRequest(
            public_key=public_key_to_bytes(self._key.public_key()), heartbeat_interval=ONLINE_FOR_S
        )
        try:
            response = self._call(lambda: self._client.ActivateNode(request))
        except _PreconditionFailed:
            return False
        except _KeyUnknown as error:
            raise self._refused("the coordinator does not accept this site's signature") from error
        write_atomic(self._state, f"{response.node_id}\n".encode())
        self._node, self._online = Node(node_id=response.node_id), True
        self.tell(LinkEventKind.CONNECTED, self._coordinator.address)
        return True

    def _deactivate(self, node: Node) -> bool:
        """Take the node offline; whether the coordinator knows it as this key's."""
        try:
            self._call(lambda: self._client.DeactivateNode(DeactivateNodeRequest(node_id=node.node_id)))
        except _PreconditionFailed:
            return True
        except _KeyUnknown:
            return False
        return True

    def _leave(self) -> None:
        if self._node is None or not self._online:
            return
        request = DeactivateNodeRequest(node_id=self._node.node_id)
        # If the goodbye fails, the coordinator notices by the missing heartbeat.
        with suppress(httpx.HTTPError), _client(self._coordinator, self._key, GOODBYE_S) as client:
            client.DeactivateNode(request)

    def _remembered(self) -> Node | None:
        try:
            return Node(node_id=int(self._state.read_text(encoding="ascii")))
        except (OSError, ValueError):
            return None

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_S):
            if self._node is None or not self._online:
                continue
            request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=ONLINE_FOR_S)
            # The next call of the main thread meets the same failure, and reports it.
            with suppress(httpx.HTTPError):
                self._client.SendNodeHeartbeat(request)

    def _call(self, call: Callable[[], _T], attempt: _Attempt | None = None) -> _T:
        """Make a call, and repeat it while the coordinator is away.

        Raises:
            _Stopped: once ``stop`` is set.
            _RunOver: if the coordinator says that the message's run is not running.
            _KeyUnknown: if the coordinator does not accept the signature for this node.
            _PreconditionFailed: if it says that the node is not in the state that the call needs.
            Refusal: if it is not the coordinator that answers, or the clocks differ too much.
        """
        attempt, delay = attempt or _Attempt(), RETRY_FIRST_S
        while True:
            try:
                return self._interruptible(call)
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                self._raise_for(error.response)
                why = f"HTTP {status}"
                attempt.ambiguous |= status != httpx.codes.SERVICE_UNAVAILABLE
            except httpx.TransportError as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    raise self._unreachable("the certificate is not the consortium's", _CERTIFICATE_MEND) from error
                why = type(error).__name__
                attempt.ambiguous |= not isinstance(error, _NOT_ARRIVED)
            self.tell(LinkEventKind.WAITING, f"{self._coordinator.address}: {why}")
            self.pause(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the sites, guards nothing
            delay = min(delay * 2, RETRY_CAP_S)

    def _interruptible(self, call: Callable[[], _T]) -> _T:
        """The call's result; a coordinator that does not answer cannot hold up a stop."""
        self.pause(0)
        done: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                done.put((call(), None))
            except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                done.put((None, error))

        threading.Thread(target=run, name="site-call", daemon=True).start()
        while True:
            try:
                result, error = done.get(timeout=STOP_GRACE_S if self._stop.is_set() else 0.2)
            except queue.Empty:
                if self._stop.wait(0):
                    self.pause(STOP_GRACE_S)
                continue
            if error is not None:
                raise error
            return result  # type: ignore[return-value]

    def _raise_for(self, response: httpx.Response) -> None:
        """Raise what a status means, unless repeating the call can mend it."""
        status = response.status_code
        if status == httpx.codes.UNAUTHORIZED:
            self._check_clock(response)
            raise _KeyUnknown("the coordinator forgot this site")
        if status == httpx.codes.FORBIDDEN:
            raise _RunOver
        if status == httpx.codes.PRECONDITION_FAILED:
            raise _PreconditionFailed
        if status not in _AWAY:
            mend = "check the coordinator's address in the settings, and any proxy on the way"
            raise self._unreachable(f"something else than the coordinator answers (HTTP {status})", mend)

    def _check_clock(self, response: httpx.Response) -> None:
        try:
            ahead_s = time.time() - parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return
        if not -CLOCK_BEHIND_S < ahead_s < CLOCK_AHEAD_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            what = f"this computer's clock is {abs(ahead_s):.0f} s {side} the coordinator's"
            raise self._refused(what, "set the clock, best by NTP, then start again")

    def _refused(self, what: str, mend: str = "") -> Refusal:
        digest = public_key_sha256(public_key_of(self._key))
        mend = mend or f"ask the coordinator to admit the key with SHA-256 {digest}"
        return Refusal(ExitCode.COORDINATOR_REFUSED_SITE, what, where=self._coordinator.address, mend=mend)

    def _unreachable(self, what: str, mend: str) -> Refusal:
        return Refusal(ExitCode.COORDINATOR_UNREACHABLE, what, where=self._coordinator.address, mend=mend)


_CERTIFICATE_MEND = "check the authority's certificate in the invitation, and any TLS-inspecting proxy on the way"


class _PreconditionFailed(Exception):
    """The node is not in the state that the call needs, or the key is not known."""


@final
class _Release:
    """Tells the coordinator Flower's version. Flower's own interceptor may end the process, this one never does."""

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Add the headers."""
        context.request.headers.update(RuntimeVersionMetadata.from_local_component("SuperNode").as_metadata())
        return call_next(context)


def _client(coordinator: Coordinator, key: ec.EllipticCurvePrivateKey, timeout_s: float) -> FleetHttpClient:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=coordinator.ca_certificate.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        mend = "copy the authority's certificate from the invitation again"
        raise Refusal(
            ExitCode.SETTINGS_INVALID, "not a PEM certificate", where="consortium's authority", mend=mend
        ) from error
    return FleetHttpClient(
        f"https://{coordinator.address}",
        interceptors=[_Release(), NodeAuthHttpInterceptor(key, key.public_key())],
        verify=context,
        timeout=timeout_s,
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds the lock of a state folder; the kernel frees it however the process ends."""
    with disk_refusals(path):
        lock = path.open("ab")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            mend = "stop the other tomoray-site, or give this one a state folder of its own"
            raise Refusal(
                ExitCode.USAGE, "another process of this site is running", where=str(path.parent), mend=mend
            ) from error
        yield
