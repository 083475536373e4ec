"""An admitted site that speaks Flower's Fleet API by hand, and says what it should not."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import httpx
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import ObjectTree, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient

from client.link import Coordinator
from client.link.session import _client
from common.trust import load_private_key

OLD = 30.0


@dataclass
class Intruder:
    """A member of the consortium with a key of its own; a context manager."""

    coordinator: Coordinator
    node: Node = field(default_factory=Node)
    requests: list[tuple[str, ObjectTree] | None] = field(default_factory=list)

    def __enter__(self) -> Self:
        key = load_private_key(self.coordinator.private_key, where="intruder")
        self.client: FleetHttpClient = _client(self.coordinator, key, 60.0)
        public = public_key_to_bytes(key.public_key())
        response = self.client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=OLD))
        self.node = Node(node_id=response.node_id)
        return self

    def __exit__(self, *_: object) -> None:
        # A machine under load may have counted it as offline already.
        with suppress(httpx.HTTPStatusError):
            self.client.DeactivateNode(DeactivateNodeRequest(node_id=self.node.node_id))
        self.client.close()

    def message(self, record: RecordDict, run_id: int, *, source: int, target: int, answers: str, kind: str) -> Message:
        """A message with whatever head the intruder likes."""
        metadata = Metadata(
            run_id=run_id,
            message_id="",
            src_node_id=source,
            dst_node_id=target,
            reply_to_message_id=answers,
            group_id="",
            created_at=now().timestamp(),
            # Flower refuses a reply that outlives its request.
            ttl=20.0,
            message_type=kind,
        )
        message = make_message(metadata=metadata, content=record)
        message.metadata.__dict__["_message_id"] = message.object_id
        return message

    def instruction(self, record: RecordDict, run_id: int, target: int, kind: str = "train") -> Message:
        """What looks as if the coordinator asked another site."""
        return self.message(record, run_id, source=SUPERLINK_NODE_ID, target=target, answers="", kind=kind)

    def reply(self, record: RecordDict, run_id: int, request_id: str) -> Message:
        """What looks like this site's own answer, but for its signature."""
        return self.message(
            record, run_id, source=self.node.node_id, target=SUPERLINK_NODE_ID, answers=request_id, kind="query"
        )

    def pull(self) -> tuple[str, ObjectTree] | None:
        """Id and tree of the next request to this site itself."""
        response = self.client.PullMessages(PullMessagesRequest(node=self.node))
        if not response.messages_list:
            return None
        return response.messages_list[0].metadata.message_id, response.message_object_trees[0]

    def announce(self, message: Message, tree: ObjectTree | None = None) -> tuple[int, str, list[str]]:
        """HTTP status, upload session and wanted objects after announcing a message."""
        request = PushMessagesRequest(
            node=self.node,
            messages_list=[message_to_proto(remove_content_from_message(message))],
            message_object_trees=[tree or get_object_tree(message)],
        )
        try:
            response = self.client.PushMessages(request)
        except httpx.HTTPStatusError as error:
            return error.response.status_code, "", []
        return 200, response.session_id, list(response.objects_to_push)

    def upload(self, run_id: int, session_id: str, content: bytes) -> int:
        """HTTP status of one object's upload; 409 where the SuperLink answered that it was not stored."""
        request = PushObjectRequest(
            node=self.node,
            run_id=run_id,
            session_id=session_id,
            object_id=hashlib.sha256(content).hexdigest(),
            object_content=content,
        )
        try:
            stored = self.client.PushObject(request).stored
        except httpx.HTTPStatusError as error:
            return error.response.status_code
        return 200 if stored else 409

    def push(self, message: Message) -> int:
        """HTTP status of the announcement of a message that is then uploaded whole."""
        status, session_id, wanted = self.announce(message)
        for name, part in get_all_nested_objects(message).items():
            if name in wanted:
                self.upload(message.metadata.run_id, session_id, part.deflate())
        return status
