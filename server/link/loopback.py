"""Flower's clients towards the SuperLink of this computer: without the proxy that the environment may name."""

from __future__ import annotations

import httpx
from flwr.supercore.protobuf.client import ProtobufClient

from server.consortium import tls_context

CALL_TIMEOUT_S = 150.0
"""Longer than the SuperLink may wait for its database."""


def connect_directly(client: ProtobufClient, ca_certificate: bytes) -> None:
    """Replace a client's connection by one that ignores proxy settings: no proxy leads to loopback."""
    client._client.close()
    client._client = httpx.Client(verify=tls_context(ca_certificate), timeout=CALL_TIMEOUT_S, trust_env=False)
