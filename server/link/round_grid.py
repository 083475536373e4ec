"""A Grid that never waits for an upload, and fetches no reply that was not signed.

Flower's own Grid waits inside ``pull_messages`` until a reply's last object is uploaded, and its retry code sends
SIGINT to the process once a run is stopped. Here a pull returns at once, and a stopped run is a refusal. A reply's
head is inspected before anything else of it is fetched, and what is fetched must hash to what the head names.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import final

import httpx
from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode, SubStatus
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PushTaskOutputRequest,
)
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.superlink.grid import HttpGrid

from common.errors import Refusal
from common.exchange import ReplySize
from server.link.inspection import Inspection, nothing
from server.link.loopback import connect_directly
from server.link.superlink_retries import AWAY, FAILED, refusing, retries

log = logging.getLogger("tomoray.coordinator")

LARGEST = ReplySize(4 * 1024**3, 10_000)


def never() -> bool:
    """Nobody asks to stop."""
    return False


class _TooLarge(ObjectPullError):
    """A reply is larger than this run allows."""


@final
class RoundGrid(HttpGrid):
    """Flower's Grid of one run, with pulls that return at once and one reply decoded at a time.

    Every call raises Refusal ``SUPERLINKFAILED`` once the run is stopped or the SuperLink stays away.

    Args:
        address: ``host:port`` of the SuperLink.
        ca_certificate: PEM that verifies it.
        secret: of the SuperLink.
        token: of the acquired task.
        stop: ends retries once it is true.
        largest: a larger reply is dropped and becomes an error.
    """

    def __init__(
        self,
        address: str,
        ca_certificate: bytes,
        secret: bytes,
        token: str,
        *,
        stop: Callable[[], bool] = never,
        largest: ReplySize = LARGEST,
    ) -> None:
        super().__init__(address, insecure=False, root_certificates=ca_certificate, token=token)
        self._ca_certificate = ca_certificate
        self._secret = secret
        self._away = set(AWAY)
        self._retry_invoker = retries(stop, self._away)
        self._largest = largest
        self._heads: dict[str, tuple[Message, ObjectTree]] = {}
        self.inspect: Inspection = nothing

    def _connect(self) -> None:
        super()._connect()
        if self._client is not None:
            connect_directly(self._client, self._ca_certificate, self._secret)

    def end(self, failure: str) -> None:
        """End the run, completed or failed, and close the connection; raises nothing if the SuperLink has gone."""
        status = SubStatus.FAILED if failure else SubStatus.COMPLETED
        # The run may have been stopped from outside, or the SuperLink may be gone for good: a short try must do.
        self._retry_invoker.max_tries = 3
        try:
            self.client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=failure))
        except httpx.HTTPError as error:
            log.warning("could not end the run in order (%s)", type(error).__name__)
        finally:
            self.close()

    @property
    def client(self) -> RuntimeHttpClient:
        """The connection, opened at first use."""
        return self._runtime_client

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Nodes that are online."""
        with refusing(self._addr):
            return super().get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; the id of each, or an empty one where it could not be stored and may be sent anew."""
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that are there completely; never waits for one that is still being uploaded."""
        with refusing(self._addr):
            return [reply for message_id in message_ids if (reply := self._pull(message_id)) is not None]

    def _push(self, message: Message) -> str:
        # A push that the SuperLink fails at is not repeated as it is: under the same names it would fail again.
        self._away.discard(FAILED)
        try:
            with refusing(self._addr):
                return next(iter(super().push_messages([message])), "") or ""
        except ObjectPushError:
            # The SuperLink lost the upload's session, e.g. by a restart; the same id can never be completed.
            return ""
        except Refusal as refusal:
            cause = refusal.__cause__
            if not isinstance(cause, httpx.HTTPStatusError) or cause.response.status_code != FAILED:
                raise
            log.warning("a request could not be stored; it is sent again under other names")
            return ""
        finally:
            self._away.add(FAILED)

    def _pull(self, message_id: str) -> Message | None:
        found = self._heads.get(message_id) or self._pull_head(message_id)
        if found is None:
            return None
        self._heads[message_id] = found
        head, tree = found
        if not self.inspect(head, _content_id(tree)):
            return self._dropped(message_id, SUPERLINK_NODE_ID)
        try:
            contents = self._pull_contents(tree)
        except ObjectUnavailableError:
            return None
        except _TooLarge as error:
            log.warning("a reply was dropped: %s", error)
            return self._dropped(message_id, head.metadata.src_node_id)
        except ObjectPullError as error:
            log.warning("a reply was lost on its way: %s", error)
            del self._heads[message_id]
            return self._error(message_id, SUPERLINK_NODE_ID)
        del self._heads[message_id]
        self._confirm(tree.object_id)
        if head.has_error():
            return head
        record = _decoded(_content_id(tree), contents)
        if record is None:
            return self._error(message_id, head.metadata.src_node_id)
        return make_message(metadata=head.metadata, content=record)

    def _dropped(self, message_id: str, node: int) -> Message:
        """The error in place of a reply that is not wanted; what the SuperLink holds of it is removed."""
        _, tree = self._heads.pop(message_id)
        self._confirm(tree.object_id)
        return self._error(message_id, node)

    def _confirm(self, reply_id: str) -> None:
        """Let the SuperLink drop its copy of a reply."""
        request = ConfirmMessageReceivedRequest(node=self.node, run_id=self.run.run_id, message_object_id=reply_id)
        self.client.ConfirmMessageReceived(request)

    def _pull_head(self, message_id: str) -> tuple[Message, ObjectTree] | None:
        response = self.client.PullMessages(PullAppMessagesRequest(message_ids=[message_id]))
        for message, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            if message.metadata.reply_to_message_id == message_id:
                return message_from_proto(message), tree
        return None

    def _pull_contents(self, tree: ObjectTree) -> dict[str, bytes]:
        """Contents of a reply's objects by id; raises ObjectUnavailableError until its root has arrived.

        A site sends the root last, so the rest is there when the root is. Each object must hash to its id, so that all
        of them together are what the head names.
        """
        pull = make_pull_object_fn_protobuf(self.client.PullObject, self.node, self.run.run_id)
        root = pull(tree.object_id)
        rest = {node.object_id for node in iterate_object_tree(tree)} - {tree.object_id}
        if len(rest) >= self._largest.objects:
            raise _TooLarge(tree.object_id, f"the reply has more than {self._largest.objects} objects")
        left, lock = self._largest.size_bytes - len(root), threading.Lock()

        def bounded(object_id: str) -> bytes:
            nonlocal left
            content = pull(object_id)
            with lock:
                left -= len(content)
            if left < 0:
                raise _TooLarge(object_id, f"the reply is larger than {self._largest.size_bytes} bytes")
            if hashlib.sha256(content).hexdigest() != object_id:
                raise ObjectPullError(object_id, "its bytes are not those that were named")
            return content

        return pull_objects(sorted(rest), bounded, max_tries_per_object=20, initial_backoff=0.02, backoff_cap=0.25)

    def _error(self, message_id: str, node: int) -> Message:
        """An error in place of a reply: from the SuperLink where it was lost, from the site where it is none."""
        metadata = Metadata(
            run_id=self.run.run_id,
            message_id="",
            src_node_id=node,
            dst_node_id=SUPERLINK_NODE_ID,
            reply_to_message_id=message_id,
            group_id="",
            created_at=time.time(),
            ttl=0,
            message_type=SYSTEM_MESSAGE_TYPE,
        )
        return make_message(metadata=metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, "no reply"))


def _content_id(tree: ObjectTree) -> str:
    """Id of a message's record, its only child; empty where it carries an error."""
    return tree.children[0].object_id if len(tree.children) == 1 else ""


def _decoded(record_id: str, contents: dict[str, bytes]) -> RecordDict | None:
    try:
        record = inflate_object_from_contents(record_id, contents)
    except Exception as error:  # noqa: BLE001 - what a site sends may break Flower's decoder in any way
        log.warning("a reply could not be decoded (%s)", type(error).__name__)
        return None
    return record if isinstance(record, RecordDict) else None
