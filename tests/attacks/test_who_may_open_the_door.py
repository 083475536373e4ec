"""Another user of the coordinator's computer, who has the authority's certificate and the loopback port."""

from __future__ import annotations

import httpx
import pytest

from common.errors import Refusal
from server.consortium import tls_context
from server.link import Control
from tests.letters import new_key

pytestmark = pytest.mark.processes

PATHS = [
    "/v1/control/list-nodes",
    "/v1/control/register-node",
    "/v1/control/unregister-node",
    "/v1/control/start-run",
    "/v1/control/stop-run",
    "/v1/runtime/acquire-task",
    "/v1/runtime/get-nodes",
    "/v1/runtime/push-messages",
    "/v1/fleet/../control/start-run",
    "/docs",
    "/openapi.json",
    "/",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["", "0" * 64])
def test_nothing_opens_without_the_secret(consortium, path: str, key: str) -> None:
    link = consortium.superlink
    headers = {"x-tomoray-door": key, "content-type": "application/x-protobuf"}
    with httpx.Client(verify=tls_context(link.ca_certificate), trust_env=False) as client:
        for answer in (
            client.post(f"https://{link.address}{path}", headers=headers),
            client.get(f"https://{link.address}{path}"),
        ):
            assert answer.status_code == 404
            assert answer.json() == {"detail": "refused at the door"}


def test_whoever_knows_a_wrong_secret_registers_no_key(consortium) -> None:
    link = consortium.superlink
    with Control(link.address, link.ca_certificate, b"guessed") as control:
        with pytest.raises(Refusal, match="404"):
            control.register_site(new_key().verifying.openssh, "stranger")
        with pytest.raises(Refusal, match="404"):
            control.start_run()


@pytest.mark.parametrize("body", [iter([b"x" * 100]), b"x" * (17 * 1024 * 1024)], ids=["unmeasured", "large"])
def test_a_body_that_no_site_sends_is_not_read(consortium, body) -> None:
    link = consortium.superlink
    url = f"https://{link.address}/v1/fleet/pull-messages"
    with httpx.Client(verify=tls_context(link.ca_certificate), trust_env=False) as client:
        try:
            status = client.post(url, content=body).status_code
        except httpx.TransportError:
            # The connection was closed while the body was still on its way.
            return
    assert status == 413
