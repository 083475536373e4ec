"""The round loop's hold on a run: Flower's server task in this process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import final

import httpx
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import run_from_proto
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PullTaskInputResponse,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import RetryInvoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity

from common.exchange import ReplySize
from server.link.loopback import connect_directly
from server.link.round_grid import LARGEST, RoundGrid, never
from server.link.superlink_retries import AWAY, refusing, retries, superlink_refusal

log = logging.getLogger("tomoray.coordinator")

ACQUIRE_S = 60.0
HEARTBEAT_S = 10.0


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
        largest: a larger reply is dropped and becomes an error.

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
        stop: Callable[[], bool] = never,
        largest: ReplySize = LARGEST,
    ) -> None:
        self._address = address
        self._ca_certificate = ca_certificate
        self._secret = secret
        self._run_id = run_id
        self._stop = stop
        self._largest = largest
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
            grid.end("" if kind is None else kind.__name__)

    def _acquire(self) -> tuple[str, PullTaskInputResponse]:
        protect = SuperExecAuthHttpInterceptor(
            master_secret=self._secret, protected_methods={"/flwr.proto.Runtime/AcquireTask"}
        )
        deadline = time.monotonic() + ACQUIRE_S
        with self._connect("SuperExec", protect, retry=retries(self._stop, AWAY)) as client:
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
                grid.end("abandoned")
        raise superlink_refusal(self._address, "no run is waiting to be worked on", "start a run first")

    def _make_grid(self, token: str) -> RoundGrid:
        return RoundGrid(
            self._address,
            self._ca_certificate,
            self._secret,
            token,
            stop=self._stop,
            largest=self._largest,
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
        connect_directly(client, self._ca_certificate, self._secret)
        return client

    def _beat(self, token: str) -> None:
        with self._connect("flwr-serverapp", RuntimeTokenHttpInterceptor(token)) as client:
            while not self._ended.wait(HEARTBEAT_S):
                try:
                    client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
                except (httpx.HTTPError, ValueError) as error:
                    # The next call of the round loop meets the same failure and reports it.
                    log.debug("task heartbeat failed: %s", type(error).__name__)
