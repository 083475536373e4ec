"""A Grid without sockets: sites are functions in this process, and messages still pass through Flower's encoding."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import cast, final

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from common.errors import Refusal
from common.trust import BUNDLE_SHA256
from server.link.inspection import Inspection, nothing

RUN_ID = 1


@final
class InProcessGrid(Grid):
    """Runs each message in a thread of its own; sites can be disconnected and connected again.

    Args:
        apps: a site's answer function by node id. One that raises Refusal goes offline, as a real site's process would.
        workers: messages worked on at the same time; None for no limit.
    """

    def __init__(self, apps: Mapping[int, Callable[[Message], Message]], *, workers: int | None = None) -> None:
        self.inspect: Inspection = nothing
        self._apps = dict(apps)
        self._run = Run.create_empty(RUN_ID)
        self._run.fab_hash = BUNDLE_SHA256
        self._slots: AbstractContextManager[object] = threading.Semaphore(workers) if workers else nullcontext()
        self._lock = threading.Lock()
        self._replies: dict[str, Message] = {}
        self._failures: list[BaseException] = []
        self._serial = count(1)
        self._activations = {node: str(next(self._serial)) for node in self._apps}
        # Flower's Message takes its sender from here.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = RUN_ID, RUN_ID, SUPERLINK_NODE_ID

    def disconnect(self, node_id: int) -> None:
        """Take a site offline; what it is working on is lost."""
        with self._lock:
            self._activations.pop(node_id, None)

    def connect(self, node_id: int) -> None:
        """Bring a site back as a new process would come back."""
        with self._lock:
            self._activations[node_id] = str(next(self._serial))

    def set_run(self, run: Run) -> None:
        """Replace the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message to a site."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Ids of the sites that are online."""
        with self._lock:
            return list(self._activations)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """The sites that are online."""
        with self._lock:
            online = list(self._activations.items())
        return [NodeInfo(node_id=node, status="online", last_activated_at=since) for node, since in online]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Start to work on each message; its id."""
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that are finished. Raises what an answer function raised, unless it was a Refusal."""
        with self._lock:
            if self._failures:
                raise self._failures.pop()
            found = [self._replies.pop(name) for name in message_ids if name in self._replies]
        return [reply if self.inspect(reply, _content_id(reply)) else _lost(reply) for reply in found]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Not offered: it would hold all replies at once."""
        raise NotImplementedError("ask through server.link.Line")

    def _push(self, message: Message) -> str:
        message_id = message.object_id
        message.metadata.__dict__["_message_id"] = message_id
        copy, node = reencoded(message), message.metadata.dst_node_id
        with self._lock:
            activation = self._activations.get(node)
        arguments = (copy, node, activation)
        threading.Thread(target=self._work, args=arguments, name=f"site-{node}", daemon=True).start()
        return message_id

    def _work(self, message: Message, node: int, activation: str | None) -> None:
        try:
            with self._slots:
                reply = reencoded(self._apps[node](message))
        except Refusal:
            self.disconnect(node)
            return
        except BaseException as failure:  # noqa: BLE001 - raised again where the round loop pulls
            with self._lock:
                self._failures.append(failure)
            return
        with self._lock:
            if activation is not None and self._activations.get(node) == activation:
                self._replies[message.metadata.message_id] = reply


def _content_id(reply: Message) -> str:
    return reply.content.object_id if reply.has_content() else ""


def _lost(reply: Message) -> Message:
    """The error that the SuperLink gives in place of a reply that is not to be had."""
    lost = Message(Error(ErrorCode.MESSAGE_UNAVAILABLE, "no reply"), reply_to=reply)
    lost.metadata.__dict__.update(_src_node_id=SUPERLINK_NODE_ID, _group_id="")
    return lost


def reencoded(message: Message) -> Message:
    """The message as its receiver decodes it."""
    objects = get_all_nested_objects(message)
    contents = {name: part.deflate() for name, part in objects.items()}
    copy = cast(Message, inflate_object_from_contents(message.object_id, contents))
    copy.metadata.__dict__["_message_id"] = message.metadata.message_id or message.object_id
    return copy
