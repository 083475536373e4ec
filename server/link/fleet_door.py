"""The door of the SuperLink's process: what Flower's handlers are never shown.

It stands in the SuperLink itself, so that nothing goes around it: behind nginx for sites, and for every program of this
computer. Whoever does not know the coordinator's secret reaches the Fleet API alone; who comes in there is a site whose
key Flower has verified, and it may do what our own sites do, as much as one reply needs, and no more.

Loaded by :mod:`server.link.superlink_entry` by its path: it imports nothing else of this product.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PushMessagesRequest, PushMessagesResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.supercore.constant import NodeStatus
from flwr.supercore.state.schema.linkstate_models import MessageIns, Node
from flwr.supercore.state.schema.objectstore_models import StoredObject
from flwr.supercore.utils import int64_to_uint64
from flwr.superlink.dependencies.linkstate import get_linkstate
from google.protobuf.message import Message as Protobuf  # type: ignore[import-untyped]
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

DOOR_HEADER = "x-tomoray-door"
FLEET = "/v1/fleet/"
HEALTH = "/health"
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_CALL_BYTES = 64 * 1024
BYTES_OF_A_NAME = 160
CALLS_A_SECOND = 100.0
CALLS_AT_ONCE = 400.0
SIMULTANEOUS_CALLS = 16
LONGEST_HEARTBEAT_S = 60.0

OK, BAD, NOT_FOUND, CONFLICT, TOO_LARGE, BUSY = 0, 400, 404, 409, 413, 503


def door_key(secret: bytes) -> str:
    """What opens the door, derived from the SuperLink's secret so that this never travels."""
    return hashlib.sha256(b"tomoray-door\0" + secret).hexdigest()


@final
class OuterDoor(BaseHTTPMiddleware):
    """Lets sites through to the Fleet API, and who knows the secret to everything.

    Args:
        app: what stands behind it.
        secret: of the SuperLink.
    """

    def __init__(self, app: ASGIApp, secret: bytes) -> None:
        super().__init__(app)
        self._key = door_key(secret)

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer 404 where there is nothing for the caller, 413 to a body that no site sends."""
        path = request.url.path
        known = hmac.compare_digest(request.headers.get(DOOR_HEADER, ""), self._key)
        if not known and path != HEALTH and not path.startswith(FLEET):
            return _refusal(NOT_FOUND)
        if not known and request.method == "POST":
            length = request.headers.get("content-length", "")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES:
                return _refusal(TOO_LARGE)
        return await call_next(request)


@dataclass
class _Upload:
    """A reply that a site is uploading, or has."""

    root: str
    session: str
    names: frozenset[str]
    left_bytes: int
    counted: set[str] = field(default_factory=set)


@dataclass
class _Caller:
    """What one site does at present."""

    allowance: float = CALLS_AT_ONCE
    seen_at: float = field(default_factory=lambda: time.monotonic())
    under_way: int = 0
    upload: _Upload | None = None


@final
class FleetRules:
    """What each site may do, by the node that Flower has verified.

    Args:
        largest_bytes: of a reply's objects together.
        largest_objects: how many objects a reply may have.
    """

    def __init__(self, largest_bytes: int, largest_objects: int) -> None:
        self._largest_bytes = largest_bytes
        self._largest_objects = largest_objects
        self._largest_announcement_bytes = 2 * MAX_CALL_BYTES + largest_objects * BYTES_OF_A_NAME
        self._callers: defaultdict[int, _Caller] = defaultdict(_Caller)
        self._lock = threading.Lock()

    def enter(self, node: int) -> bool:
        """Whether a call may go on now; :meth:`leave` ends it."""
        with self._lock:
            caller, now = self._callers[node], time.monotonic()
            caller.allowance = min(caller.allowance + (now - caller.seen_at) * CALLS_A_SECOND, CALLS_AT_ONCE)
            caller.seen_at = now
            if caller.allowance < 1 or caller.under_way >= SIMULTANEOUS_CALLS:
                return False
            caller.allowance -= 1
            caller.under_way += 1
            return True

    def leave(self, node: int) -> None:
        """A call has ended."""
        with self._lock:
            self._callers[node].under_way -= 1

    def verdict(self, node: int, call: Protobuf, state: Any) -> int | Protobuf:  # noqa: ANN401 - Flower's state
        """``OK``, an HTTP status, or an answer in Flower's place: to what an honest site may also send, too late."""
        if isinstance(call, PushObjectRequest):
            return OK if self._takes(node, call) else PushObjectResponse(stored=False)
        if isinstance(call, PushMessagesRequest):
            return self._announced(node, call, state)
        if call.ByteSize() > MAX_CALL_BYTES:
            return TOO_LARGE
        if isinstance(call, ActivateNodeRequest):
            return _activated(call, state)
        if isinstance(call, SendNodeHeartbeatRequest):
            return OK if 0 < call.heartbeat_interval <= LONGEST_HEARTBEAT_S else BAD
        if isinstance(call, ConfirmMessageReceivedRequest):
            return OK if _instruction(call.message_object_id, state) == (node, call.run_id) else BAD
        return OK

    def announced(self, node: int, call: PushMessagesRequest, answer: PushMessagesResponse, state: Any) -> None:  # noqa: ANN401
        """Flower took an announcement: count its upload, and drop what this site uploaded before."""
        root = call.messages_list[0].metadata.message_id
        if root not in answer.objects_to_push:
            return
        names = frozenset(part.object_id for part in _parts(call.message_object_trees[0]))
        upload = _Upload(root, answer.session_id, names, self._largest_bytes)
        with self._lock:
            caller = self._callers[node]
            old, caller.upload = caller.upload, upload
        if old is not None and old.root != root:
            state.object_store.delete(old.root)
            state._on_push_session_expired({old.root})

    def _takes(self, node: int, call: PushObjectRequest) -> bool:
        size = len(call.object_content)
        with self._lock:
            upload = self._callers[node].upload
            if upload is None or upload.session != call.session_id or call.object_id not in upload.names:
                return False
            # A call whose response was lost is repeated, and Flower stores each object once.
            if call.object_id not in upload.counted:
                upload.counted.add(call.object_id)
                upload.left_bytes -= size
            return upload.left_bytes >= 0

    def _announced(self, node: int, call: PushMessagesRequest, state: Any) -> int | Protobuf:  # noqa: ANN401
        if len(call.messages_list) != 1 or len(call.message_object_trees) != 1:
            return BAD
        message, tree = call.messages_list[0], call.message_object_trees[0]
        head = message.metadata
        if (head.src_node_id, head.dst_node_id) != (node, SUPERLINK_NODE_ID) or not head.reply_to_message_id:
            return BAD
        if (
            message.ByteSize() > MAX_CALL_BYTES
            or call.ByteSize() > MAX_CALL_BYTES + self._largest_objects * BYTES_OF_A_NAME
        ):
            return TOO_LARGE
        if sum(1 for _ in _parts(tree)) > self._largest_objects or tree.object_id != head.message_id:
            return BAD
        asked = _instruction(head.reply_to_message_id, state)
        if asked is None:
            return PushMessagesResponse()
        if asked != (node, head.run_id):
            return BAD
        known = self._is_repeated(node, tree.object_id) or not _stored({part.object_id for part in _parts(tree)}, state)
        return OK if known else PushMessagesResponse()

    def _is_repeated(self, node: int, root: str) -> bool:
        with self._lock:
            upload = self._callers[node].upload
            return upload is not None and upload.root == root


@final
class FleetDoor(BaseHTTPMiddleware):
    """Holds every call of a verified site against the rules.

    Args:
        app: Flower's handlers.
        rules: what each site may do.
    """

    def __init__(self, app: ASGIApp, rules: FleetRules) -> None:
        super().__init__(app)
        self._rules = rules

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass the call on, or answer it here."""
        call = getattr(request.state, "protobuf_request", None)
        if not request.url.path.startswith(FLEET) or not isinstance(call, Protobuf):
            return await call_next(request)
        state = get_linkstate(request)
        node = await run_in_threadpool(_node_of, call, state)
        if not self._rules.enter(node):
            return _refusal(BUSY)
        try:
            verdict = await run_in_threadpool(self._rules.verdict, node, call, state)
            if isinstance(verdict, Protobuf):
                request.state.protobuf_response = verdict
                return Response()
            if verdict != OK:
                return _refusal(verdict)
            response = await call_next(request)
            answer = getattr(request.state, "protobuf_response", None)
            if isinstance(call, PushMessagesRequest) and isinstance(answer, PushMessagesResponse):
                await run_in_threadpool(self._rules.announced, node, call, answer, state)
            return response
        finally:
            self._rules.leave(node)


def _node_of(call: Any, state: Any) -> int:  # noqa: ANN401 - any of Flower's calls
    """The node whose key signed the call; Flower has held it against the call already."""
    if isinstance(call, ActivateNodeRequest):
        return state.get_node_id_by_public_key(call.public_key) or 0
    return int(call.node.node_id if hasattr(call, "node") else getattr(call, "node_id", 0))


def _activated(call: ActivateNodeRequest, state: Any) -> int:  # noqa: ANN401
    """A key that is online already is another computer's, and the caller is told so."""
    if not 0 < call.heartbeat_interval <= LONGEST_HEARTBEAT_S:
        return BAD
    with state.session() as session:
        found = session.execute(
            select(Node.status, Node.online_until).where(
                Node.public_key == call.public_key, Node.status == NodeStatus.ONLINE
            )
        ).first()
    return CONFLICT if found is not None and found.online_until > time.time() else OK


def _instruction(message_id: str, state: Any) -> tuple[int, int] | None:  # noqa: ANN401
    """Node that a request went to, and its run; None where there is no such request any more."""
    with state.session() as session:
        query = select(MessageIns.dst_node_id, MessageIns.run_id).where(MessageIns.message_id == message_id)
        found = session.execute(query).first()
    return None if found is None else (int64_to_uint64(found.dst_node_id), int64_to_uint64(found.run_id))


def _stored(names: set[str], state: Any) -> bool:  # noqa: ANN401
    """Whether any of these objects is there already: nobody but its owner knows a name before it is there."""
    with state.session() as session:
        return (
            session.execute(select(StoredObject.object_id).where(StoredObject.object_id.in_(names))).first() is not None
        )


def _parts(tree: ObjectTree) -> Iterator[ObjectTree]:
    """Every part of a tree, without recursion."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(part.children)


def _refusal(status: int) -> JSONResponse:
    return JSONResponse({"detail": "refused at the door"}, status_code=status)
