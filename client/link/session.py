"""The site's session with the coordinator: join, receive, fetch, send, heartbeat, leave.

This is the only module on the site's side that touches Flower's internals. It opens outgoing connections alone.
Flower's own connection (``flwr.supernode.fleet_http_connection``) is not used: it ends the process on a refused key,
sends SIGINT to it after an HTTP 401, retries for ever without looking at a stop, and loses a reply for good if one
upload has to be repeated.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import final

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message, RecordDict
from flwr.app.message import make_message, remove_content_from_message
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

from client.link.calls import (
    Attempt,
    Calls,
    Coordinator,
    KeyInUse,
    KeyUnknown,
    LinkEvent,
    LinkEventKind,
    PreconditionFailed,
)
from common.errors import ExitCode, Refusal
from common.files import write_atomic
from common.trust import load_private_key

HEARTBEAT_S = 10.0
ONLINE_FOR_S = 15.0
"""Heartbeat interval told to the coordinator, which counts a site as offline after twice this time of silence."""

CALL_TIMEOUT_S = 60.0
UPLOAD_WAIT_S = 300.0
PULSE_END_S = 0.5
GOODBYE_S = 0.9
_ONE_AT_A_TIME = "stop the other one, on this computer or another; each computer needs a key of its own"


class Rejoin(Exception):
    """A message or reply may be lost: joining anew tells the coordinator to ask again."""


def content_id(tree: ObjectTree) -> str:
    """Id of a message's record, its only child; empty where it has none."""
    return tree.children[0].object_id if len(tree.children) == 1 else ""


@final
class Session:
    """The connection of one site: join, receive, fetch, send, heartbeat, leave."""

    def __init__(self, coordinator: Coordinator, stop: threading.Event, on_event: Callable[[LinkEvent], None]) -> None:
        self._coordinator = coordinator
        self._state = coordinator.state / "node_id"
        self._on_event = on_event
        self._calls = Calls(coordinator, stop, on_event)
        self._key = load_private_key(coordinator.private_key, where="site key")
        self._client = _client(coordinator, self._key, CALL_TIMEOUT_S)
        self._node: Node | None = None
        self._online = False
        self._closed = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="site-heartbeat", daemon=True)

    def __enter__(self) -> Session:
        self._pulse.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        # A heartbeat that arrives after the goodbye would bring the node back online.
        self._pulse.join(PULSE_END_S)
        self._leave()
        self._client.close()

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond ``stop``."""
        self._calls.pause(seconds)

    def tell(self, kind: LinkEventKind, detail: str) -> None:
        """Report an event."""
        self._on_event(LinkEvent(kind, detail))

    def join(self) -> None:
        """Become an online node, however long the coordinator is away."""
        self._online = False
        known = self._remembered()
        give_up = time.monotonic() + self._coordinator.admission_patience_s
        while True:
            # After a kill the coordinator still counts the node as online, and would not activate it twice.
            if known is not None and not self._deactivate(known):
                known = None
            why, mend = self._activate()
            if not why:
                return
            if time.monotonic() >= give_up:
                raise self._calls.refused(why, mend)
            self.tell(LinkEventKind.WAITING, why)
            self.pause(min(2.0, self._coordinator.admission_patience_s))

    def receive(self) -> tuple[Message, ObjectTree] | None:
        """Head (metadata without content) and object tree of the next message, if one waits."""
        attempt, request = Attempt(), PullMessagesRequest(node=self._node)
        response = self._calls.make(lambda: self._client.PullMessages(request), attempt)
        if response.messages_list:
            return message_from_proto(response.messages_list[0]), response.message_object_trees[0]
        if attempt.ambiguous:
            # A message counts as delivered once it was pulled, even if the response got lost.
            raise Rejoin("a message may have been lost")
        return None

    def bundle_of(self, head: Message) -> str:
        """SHA-256 of the bundle of the message's run."""
        request = GetRunRequest(node=self._node, run_id=head.metadata.run_id)
        return str(self._calls.make(lambda: self._client.GetRun(request), of_run=True).run.fab_hash)

    def fetch(self, head: Message, tree: ObjectTree) -> Message:
        """The message with its content, every part of which hashes to the name that the head gave it."""
        names = {part.object_id for part in iterate_object_tree(tree)} - {tree.object_id}
        try:
            contents = pull_objects(
                sorted(names),
                self._puller(head.metadata.run_id),
                max_time=UPLOAD_WAIT_S,
                # The low cap would exhaust any number of tries while a long upload on the other side goes on.
                max_tries_per_object=None,
                initial_backoff=0.02,
                backoff_cap=1.0,
            )
        except ObjectPullError as error:
            raise Rejoin("a message did not arrive completely") from error
        self.confirm(head)
        try:
            record = inflate_object_from_contents(content_id(tree), contents)
        except Exception as error:
            # What arrives may break Flower's decoder in any way; the coordinator asks again a few times.
            raise Rejoin(f"a message could not be decoded ({type(error).__name__})") from error
        if not isinstance(record, RecordDict):
            raise Rejoin("a message holds no record")
        return make_message(metadata=head.metadata, content=record)

    def confirm(self, head: Message) -> None:
        """Let the coordinator drop its copy of a message."""
        metadata = head.metadata
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=metadata.run_id, message_object_id=metadata.message_id
        )
        self._calls.make(lambda: self._client.ConfirmMessageReceived(request), of_run=True)

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
            attempt = Attempt()
            response = self._calls.make(lambda: self._client.PushMessages(request), attempt, of_run=True)
            wanted = set(response.objects_to_push)
            if root not in wanted:
                if attempt.ambiguous:
                    raise Rejoin("a reply may have been lost")
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
            response = self._calls.make(lambda: self._client.PullObject(request), of_run=True)
            if not response.object_found:
                raise ObjectPullError(object_id, "the coordinator dropped it")
            if not response.object_available:
                raise ObjectUnavailableError(object_id)
            if hashlib.sha256(response.object_content).hexdigest() != object_id:
                raise ObjectPullError(object_id, "its bytes are not those that were named")
            return bytes(response.object_content)

        return pull

    def _putter(self, run_id: int, session_id: str) -> Callable[[str, bytes], None]:
        def put(object_id: str, content: bytes) -> None:
            attempt = Attempt()
            request = PushObjectRequest(
                node=self._node, run_id=run_id, session_id=session_id, object_id=object_id, object_content=content
            )
            stored = self._calls.make(lambda: self._client.PushObject(request), attempt, of_run=True).stored
            # Pushing is not idempotent: repeating one whose response was lost answers "not stored", though it is.
            if not stored and not attempt.ambiguous:
                raise Rejoin("the coordinator closed the upload of a reply")

        return put

    def _activate(self) -> tuple[str, str]:
        """Come online; why the coordinator does not let this site, and how to mend it, or nothing."""
        request = ActivateNodeRequest(
            public_key=public_key_to_bytes(self._key.public_key()), heartbeat_interval=ONLINE_FOR_S
        )
        try:
            response = self._calls.make(lambda: self._client.ActivateNode(request))
        except PreconditionFailed:
            return "the coordinator does not know this site's key", ""
        except KeyInUse:
            return "another process is connected with this site's key", _ONE_AT_A_TIME
        except KeyUnknown as error:
            raise self._calls.refused("the coordinator does not accept this site's signature") from error
        write_atomic(self._state, f"{response.node_id}\n".encode())
        self._node, self._online = Node(node_id=response.node_id), True
        self.tell(LinkEventKind.CONNECTED, self._coordinator.address)
        return "", ""

    def _deactivate(self, node: Node) -> bool:
        """Take the node offline; whether the coordinator knows it as this key's."""
        try:
            self._calls.make(lambda: self._client.DeactivateNode(DeactivateNodeRequest(node_id=node.node_id)))
        except PreconditionFailed:
            return True
        except KeyUnknown:
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
            with suppress(httpx.HTTPError, RuntimeError, ValueError):
                self._client.SendNodeHeartbeat(request)


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
