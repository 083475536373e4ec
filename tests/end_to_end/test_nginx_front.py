"""The shipped nginx front before a real SuperLink: sites pass, and nothing else of the SuperLink is reachable."""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from client.gate import Released
from client.link import Coordinator, LinkEvent, LinkEventKind
from client.link.fleet import serve
from common.trust import BUNDLE_SHA256, new_site_key
from server.consortium import make_certificates, tls_context
from server.link import Control, ServerTask, SuperLink
from server.link.fleet_door import DOOR_HEADER, door_key
from tests import absences
from tests.letters import ABOUT, SignedSite, key_of, line_of

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CONFIGURATION = Path(__file__).parents[2] / "docker" / "nginx.conf"

pytestmark = pytest.mark.processes


@dataclass
class Front:
    """A SuperLink and the front before it."""

    superlink: SuperLink
    address: str
    folder: Path


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _adapted(folder: Path, certificates: Path, port: int, superlink_port: int) -> Path:
    text = CONFIGURATION.read_text(encoding="utf-8")
    for shipped, here in (
        ("/state/certificates/", f"{certificates}/"),
        ("server 127.0.0.1:8443;", f"server 127.0.0.1:{superlink_port};"),
        ("listen 18443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/tmp/nginx", f"{folder}/nginx"),
        ("worker_processes auto;", "worker_processes 1;"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    path = folder / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    if NGINX is None:
        pytest.skip(absences.NGINX)
    folder = tmp_path_factory.mktemp("front")
    port, superlink_port = _free_ports(2)
    certificates = make_certificates(folder / "certificates", ["localhost"])
    configuration = _adapted(folder, folder / "certificates", port, superlink_port)
    with SuperLink(folder / "superlink", certificates, superlink_port) as superlink:
        command = [NGINX, "-p", str(folder), "-c", str(configuration), "-g", "daemon off;"]
        with (folder / "nginx.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as nginx:
            try:
                _wait_for_port(port)
                yield Front(superlink, f"localhost:{port}", folder)
            finally:
                nginx.terminate()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.05)


def test_a_site_works_through_the_front(front: Front) -> None:
    link = front.superlink
    private, public = new_site_key()
    coordinator = Coordinator(front.address, link.ca_certificate, private, front.folder / "site")
    events, stop = list[LinkEvent](), threading.Event()
    # More than one piece of Flower's 5 MiB, and more than nginx's default body limit.
    data = bytes(range(256)) * 50_000
    record = RecordDict(
        {
            "header": ConfigRecord({"json": "{}"}),
            "generator": ArrayRecord({"generator.0000": Array("uint8", (len(data),), "raw", data)}),
        }
    )

    signed = SignedSite(lambda message: Message(message.content, reply_to=message), key_of(private))

    with Control(link.address, link.ca_certificate, link.secret) as control:
        nodes = {"north": control.register_site(public, "north")}
        run_id = control.start_run()
    site = threading.Thread(
        target=lambda: serve(
            coordinator,
            lambda message: Released(signed.answer(message)),
            admit=signed.admit,
            refuse_bundle=_unasked,
            bundle_sha256=BUNDLE_SHA256,
            stop=stop,
            on_event=events.append,
        ),
        daemon=True,
    )
    site.start()
    try:
        with ServerTask(link.address, link.ca_certificate, link.secret, run_id=run_id) as grid:
            (reply,) = line_of(grid, nodes, {"north": signed.key}).ask({"north": record}, ABOUT, 60, lambda: False)
    finally:
        stop.set()
        site.join(5)
    assert reply.record == record
    assert LinkEventKind.WAITING not in {event.kind for event in events}
    assert not site.is_alive()


FORBIDDEN = [
    "/v1/control/list-nodes",
    "/v1/control/start-run",
    "/v1/control/register-node",
    "/v1/runtime/acquire-task",
    "/v1/fleet/register-node",
    "/v1/fleet/unregister-node",
    "/v1/fleet/%72egister-node",
    "/v1/fleet/../control/list-nodes",
    "/v1/fleet/%2e%2e/control/list-nodes",
    "/v1/fleet/..%2fcontrol/list-nodes",
    "/v1/fleet//register-node",
    "//v1/control/list-nodes",
    "/v1/fleet",
    "/v1/FLEET/../control/list-nodes",
    "/docs",
    "/openapi.json",
    "/health",
    "/",
]


@pytest.mark.parametrize("path", FORBIDDEN)
def test_nothing_else_of_the_superlink_is_reachable(front: Front, path: str) -> None:
    host, port = front.address.split(":")
    context = tls_context(front.superlink.ca_certificate)
    request = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n"
    # By hand: an HTTP client would tidy the path before sending it.
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.sendall(f"{request}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ", 2)[1] == b"404"


def test_what_is_forbidden_at_the_front_exists_behind_it(front: Front) -> None:
    # So that the test above does not pass because of a path that nobody serves.
    headers = {DOOR_HEADER: door_key(front.superlink.secret)}
    context = tls_context(front.superlink.ca_certificate)
    with httpx.Client(verify=context, trust_env=False, headers=headers) as client:
        for path in ("/v1/control/list-nodes", "/docs", "/openapi.json", "/health"):
            url = f"https://{front.superlink.address}{path}"
            assert (client.post(url) if "v1" in path else client.get(url)).status_code != 404


def test_a_site_waits_while_the_superlink_is_away(front: Front) -> None:
    # nginx answers 502 then, which a site repeats.
    private, _ = new_site_key()
    coordinator = Coordinator(front.address, front.superlink.ca_certificate, private, front.folder / "waiting")
    events, stop = list[LinkEvent](), threading.Event()
    front.superlink.stop()
    site = threading.Thread(
        target=lambda: serve(
            coordinator,
            _unasked,
            admit=lambda head, content: None,
            refuse_bundle=_unasked,
            bundle_sha256=BUNDLE_SHA256,
            stop=stop,
            on_event=events.append,
        ),
        daemon=True,
    )
    site.start()
    deadline = time.monotonic() + 20
    while not any("HTTP 502" in event.detail for event in events) and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    site.join(5)
    assert not site.is_alive()
    assert {event.kind for event in events} == {LinkEventKind.WAITING, LinkEventKind.DISCONNECTED}


def _unasked(message: Message) -> Released:
    raise AssertionError("nobody may ask")


def test_the_front_answers_no_status_that_ends_a_site() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    statuses = set(re.findall(r"return (\d+)", text)) | set(re.findall(r"_status (\d+)", text))
    assert statuses == {"404", "503"}
    for zone in ("limit_req", "limit_conn"):
        # nginx's default for both is 503 as well, but stock guides set 429.
        assert f"{zone}_status 503;" in text
