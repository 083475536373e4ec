"""The SuperLink's Control API: register and unregister site keys, start and stop runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, final

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.serde import fab_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, public_key_to_bytes

from common.errors import ExitCode, Refusal
from common.signatures import VerifyingKey
from common.trust import BUNDLE, BUNDLE_SHA256, load_public_key
from server.link.loopback import connect_directly


@final
class Control:
    """A client of the Control API; a context manager.

    Args:
        address: ``host:port`` of the SuperLink.
        ca_certificate: PEM that verifies it.
        secret: of the SuperLink; without it the door stays shut.

    Every method raises Refusal ``SUPERLINK_FAILED`` if the SuperLink does not answer or refuses.
    """

    def __init__(self, address: str, ca_certificate: bytes, secret: bytes) -> None:
        self._address = address
        self._client = ControlHttpClient.from_server_address(
            server_address=address,
            insecure=False,
            root_certificates=ca_certificate,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-cli")],
        )
        connect_directly(self._client, ca_certificate, secret)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def register_site(self, public_key: bytes, name: str) -> int:
        """The node id of a site's key, which is registered first if need be.

        Args:
            public_key: one OpenSSH line.
            name: shown in Flower's own listings.

        Raises:
            Refusal: ``SETTINGS_INVALID`` if the key is none.
        """
        key = load_public_key(public_key, where=f"public key of '{name}'")
        with self._refusing("register a site"):
            known = self._nodes().get(VerifyingKey(key).sha256)
            if known is not None:
                return known
            request = RegisterNodeRequest(public_key=public_key_to_bytes(key), name=name)
            return int(self._client.RegisterNode(request).node_id)

    def registered_keys(self) -> dict[str, int]:
        """Node id by SHA-256 of the key, of every key that is registered."""
        with self._refusing("list the registered keys"):
            return self._nodes()

    def unregister_site(self, node: int) -> None:
        """Let a node's key in no more; what it was asked is forgotten."""
        with self._refusing("unregister a site"):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def _nodes(self) -> dict[str, int]:
        found = {}
        for node in self._client.ListNodes(ListNodesRequest()).nodes_info:
            key = bytes_to_public_key(node.public_key)
            if not node.unregistered_at and isinstance(key, ec.EllipticCurvePublicKey):
                found[VerifyingKey(key).sha256] = int(node.node_id)
        return found

    def start_run(self, bundle: bytes = BUNDLE, bundle_sha256: str = BUNDLE_SHA256) -> int:
        """The id of a new run of this release; its server task waits to be acquired."""
        with self._refusing("start a run"):
            response = self._client.StartRun(StartRunRequest(fab=fab_to_proto(Fab(bundle_sha256, bundle, {}))))
        if not response.run_id:
            raise self._refusal("start a run", "no run was created")
        return int(response.run_id)

    def stop_run(self, run_id: int) -> None:
        """Stop a run; one that has finished is left as it is."""
        with self._refusing("stop a run"):
            if self._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict[run_id].status.status != "finished":
                self._client.StopRun(StopRunRequest(run_id=run_id))

    @contextmanager
    def _refusing(self, task: str) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as error:
            raise self._refusal(task, f"HTTP {error.response.status_code}") from error
        except (httpx.TransportError, ValueError) as error:
            raise self._refusal(task, type(error).__name__) from error

    def _refusal(self, task: str, why: str) -> Refusal:
        mend = "see superlink.log; check that the address is the SuperLink's"
        return Refusal(ExitCode.SUPERLINK_FAILED, f"could not {task} ({why})", where=self._address, mend=mend)
