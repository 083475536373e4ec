"""The round loop's hold on a run: Flower's server task in this process, and a Grid that never waits for an upload.

Flower's own Grid waits inside ``pull_messages`` until a reply's last object is uploaded, and its retry code sends
SIGINT to the process once a run is stopped. Here a pull returns at once, and a stopped run is a refusal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import final

import httpx
from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode, SubStatus
from flwr.common.serde import run_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE, TaskType
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
    inflate_object_from_contents,
    pull_objects,
)
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from common.errors import ExitCode, Refusal
from server.link.loopback import connect_directly

log = logging.getLogger("tomoray.coordinator")

PATIENCE_S = 120.0
"""How long a call is repeated while the SuperLink is away, e.g. restarting."""

ACQUIRE_S = 60.0
HEARTBEAT_S = 10.0
MAX_REPLY_BYTES = 4 * 1024**3
_AWAY = frozenset({httpx.codes.INTERNAL_SERVER_ERROR, *range(502, 505)})


def _never() -> bool:
    return False


class _TooLarge(ObjectPullError):
    """A reply is larger than this run allows."""


@final
class RoundGrid(HttpGrid):
    """Flower's Grid of one run, with pulls that return at once and one reply decoded at a time.

    Every call raises Refusal ``SUPERLINK_FAILED`` once the run is stopped or the SuperLink stays away.

    Args:
        address: ``host:port`` of the SuperLink.
        ca_certificate: PEM that verifies it.
        token: of the acquired task.
        stop: ends retries once it is true.
        max_reply_bytes: a larger reply is dropped and becomes an error.
    """

    def __init__(
        self,
        address: str,
        ca_certificate: bytes,
        token: str,
        *,
        stop: Callable[[], bool] = _never,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        super().__init__(address, insecure=False, root_certificates=ca_certificate, token=token)
        self._ca_certificate = ca_certificate
        self._retry_invoker = _retries(stop)
        self._max_reply_bytes = max_reply_bytes
        self._heads: dict[str, tuple[str, int, ObjectTree]] = {}

    def _connect(self) -> None:
        super()._connect()
        if self._client is not None:
            connect_directly(self._client, self._ca_certificate)

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
        try:
            with refusing(self._addr):
                return next(iter(super().push_messages([message])), "") or ""
        except ObjectPushError:
            # The SuperLink lost the upload's session, e.g. by a restart; the same id can never be completed.
            return ""

    def _pull(self, message_id: str) -> Message | None:
        head = self._heads.get(message_id) or self._pull_head(message_id)
        if head is None:
            return None
        self._heads[message_id] = head
        reply_id, node, tree = head
        try:
            contents = self._pull_contents(tree)
        except ObjectUnavailableError:
            return None
        except _TooLarge as error:
            log.warning("a reply was dropped: %s", error)
            contents = {}
        except ObjectPullError as error:
            log.warning("a reply was lost on its way: %s", error)
            del self._heads[message_id]
            return self._error(message_id, SUPERLINK_NODE_ID)
        del self._heads[message_id]
        self._confirm(reply_id)
        reply = _decoded(reply_id, contents)
        if reply is None:
            return self._error(message_id, node)
        reply.metadata.__dict__["_message_id"] = reply_id
        return reply

    def _confirm(self, reply_id: str) -> None:
        """Let the SuperLink drop its copy of a reply."""
        request = ConfirmMessageReceivedRequest(node=self.node, run_id=self.run.run_id, message_object_id=reply_id)
        self.client.ConfirmMessageReceived(request)

    def _pull_head(self, message_id: str) -> tuple[str, int, ObjectTree] | None:
        response = self.client.PullMessages(PullAppMessagesRequest(message_ids=[message_id]))
        for message, tree in zip(response.messages_list, response.message_object_trees, strict=True):
            if message.metadata.reply_to_message_id == message_id:
                return message.metadata.message_id, message.metadata.src_node_id, tree
        return None

    def _pull_contents(self, tree: ObjectTree) -> dict[str, bytes]:
        """Contents of a reply's objects by id; raises ObjectUnavailableError until its root has arrived.

        A site sends the root last, so the rest is there when the root is.
        """
        pull = make_pull_object_fn_protobuf(self.client.PullObject, self.node, self.run.run_id)
        root = pull(tree.object_id)
        left, lock = self._max_reply_bytes - len(root), threading.Lock()

        def bounded(object_id: str) -> bytes:
            nonlocal left
            content = pull(object_id)
            with lock:
                left -= len(content)
            if left < 0:
                raise _TooLarge(object_id, f"the reply is larger than {self._max_reply_bytes} bytes")
            return content

        rest = {node.object_id for node in iterate_object_tree(tree)} - {tree.object_id}
        contents = pull_objects(sorted(rest), bounded, max_tries_per_object=20, initial_backoff=0.02, backoff_cap=0.25)
        return contents | {tree.object_id: root}

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


@final
class ServerTask:
    """Holds a run's server task for as long as its context lasts, and yields the run's Grid.

    Leaving ends the run: completed, or failed if an exception passes through.

    Args:
        address: ``host:port`` of the SuperLink.
        ca_certificate: PEM that verifies it.
        secret: of the SuperLink.
        run_id: the run to hold; other runs that wait are abandoned ones and are ended. None takes the oldest.
        stop: ends waiting and retries once it is true.
        max_reply_bytes: a larger reply is dropped and becomes an error.

    Raises (on entry):
        Refusal: ``SUPERLINK_FAILED`` if no task can be acquired.
    """

    def __init__(
        self,
        address: str,
        ca_certificate: bytes,
        secret: bytes,
        *,
        run_id: int | None = None,
        stop: Callable[[], bool] = _never,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._address = address
        self._ca_certificate = ca_certificate
        self._secret = secret
        self._run_id = run_id
        self._stop = stop
        self._max_reply_bytes = max_reply_bytes
        self._grid: RoundGrid | None = None
        self._ended = threading.Event()

    def __enter__(self) -> RoundGrid:
        with refusing(self._address):
            token, held = self._acquire()
        run = run_from_proto(held.run)
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = held.task_id, run.run_id, SUPERLINK_NODE_ID
        self._grid = self._make_grid(token)
        self._grid.set_run(run)
        threading.Thread(target=self._beat, args=(token,), name="task-heartbeat", daemon=True).start()
        return self._grid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for name in ("_task_id", "_run_id", "_node_id"):
            setattr(TaskIdentity, name, None)
        grid, self._grid = self._grid, None
        if grid is not None:
            _end(grid, "" if kind is None else kind.__name__)

    def _acquire(self) -> tuple[str, PullTaskInputResponse]:
        protect = SuperExecAuthHttpInterceptor(
            master_secret=self._secret, protected_methods={"/flwr.proto.Runtime/AcquireTask"}
        )
        deadline = time.monotonic() + ACQUIRE_S
        with self._connect("SuperExec", protect, retry=_retries(self._stop)) as client:
            while time.monotonic() < deadline and not self._stop():
                answer = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
                if not (answer.HasField("task") and answer.token):
                    time.sleep(0.05)
                    continue
                grid = self._make_grid(answer.token)
                held = grid.client.PullTaskInput(PullTaskInputRequest())
                if self._run_id in (None, held.run.run_id):
                    grid.close()
                    return answer.token, held
                _end(grid, "abandoned")
        raise _failed(self._address, "no run is waiting to be worked on", "start a run first")

    def _make_grid(self, token: str) -> RoundGrid:
        return RoundGrid(
            self._address,
            self._ca_certificate,
            token,
            stop=self._stop,
            max_reply_bytes=self._max_reply_bytes,
        )

    def _connect(
        self, component: str, *interceptors: ProtobufClientInterceptor, retry: RetryInvoker | None = None
    ) -> RuntimeHttpClient:
        client = RuntimeHttpClient.from_server_address(
            server_address=self._address,
            insecure=False,
            root_certificates=self._ca_certificate,
            interceptors=[RuntimeVersionHttpInterceptor(component_name=component), *interceptors],
            retry_invoker=retry,
        )
        connect_directly(client, self._ca_certificate)
        return client

    def _beat(self, token: str) -> None:
        with self._connect("flwr-serverapp", RuntimeTokenHttpInterceptor(token)) as client:
            while not self._ended.wait(HEARTBEAT_S):
                try:
                    client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
                except (httpx.HTTPError, ValueError) as error:
                    # The next call of the round loop meets the same failure and reports it.
                    log.debug("task heartbeat failed: %s", type(error).__name__)


def _decoded(reply_id: str, contents: dict[str, bytes]) -> Message | None:
    try:
        reply = inflate_object_from_contents(reply_id, contents) if contents else None
    except Exception as error:  # noqa: BLE001 - what a site sends may break Flower's decoder in any way
        log.warning("a reply could not be decoded (%s)", type(error).__name__)
        return None
    return reply if isinstance(reply, Message) else None


def _end(grid: RoundGrid, failure: str) -> None:
    status = SubStatus.FAILED if failure else SubStatus.COMPLETED
    # The run may have been stopped from outside, or the SuperLink may be gone for good: a short try must do.
    grid._retry_invoker.max_tries = 3
    try:
        grid.client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=failure))
    except httpx.HTTPError as error:
        log.warning("could not end the run in order (%s)", type(error).__name__)
    finally:
        grid.close()


def _retries(stop: Callable[[], bool]) -> RetryInvoker:
    def give_up(error: Exception) -> bool:
        return stop() or (isinstance(error, httpx.HTTPStatusError) and error.response.status_code not in _AWAY)

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
            raise _failed(address, "the run is stopped", "resume it to go on from its last round") from error
        raise _failed(address, f"the SuperLink answers HTTP {error.response.status_code}", _SEE_LOG) from error
    except httpx.TransportError as error:
        raise _failed(address, f"the SuperLink gives no answer ({type(error).__name__})", _SEE_LOG) from error


_SEE_LOG = "see superlink.log, then resume the run from its last round"


def _failed(address: str, what: str, mend: str) -> Refusal:
    return Refusal(ExitCode.SUPERLINK_FAILED, what, where=address, mend=mend)
