"""Flower's clients towards the SuperLink of this computer: without the proxy that the environment may name."""

from __future__ import annotations

import httpx
from flwr.supercore.protobuf.client import ProtobufClient

from server.consortium import tls_context
from server.link.fleet_door import DOOR_HEADER, door_key

CALL_TIMEOUT_S = 150.0
"""Longer than the SuperLink may wait for its database."""


def connect_directly(client: ProtobufClient, ca_certificate: bytes, secret: bytes) -> None:
    """Replace a client's connection by one that passes the door and ignores proxy settings: none leads to loopback."""
    client._client.close()
    client._client = httpx.Client(
        verify=tls_context(ca_certificate),
        timeout=CALL_TIMEOUT_S,
        trust_env=False,
        headers={DOOR_HEADER: door_key(secret)},
    )
