"""A little server that answers as a test says."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

import pytest

from client.pacs import PacsSettings, synchronise
from common.errors import ExitCode, Refusal
from tests.client.pacs.orthanc import contents, keyed_name


@dataclass
class Answer:
    """What is sent back.

    Attributes:
        stated_length: Content-Length; None sends none, and the end of the connection is the end of the answer.
        repeated: how often the content is sent.
        pause_seconds: between two times.
    """

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stated_length: int | None = -1
    repeated: int = 1
    pause_seconds: float = 0.0


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without asking for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, *arguments: object) -> None:
        """Clients that go away are part of the tests."""


class HostileServer:
    """Serves on loopback until closed."""

    def __init__(self, answer: Callable[[str, Message], Answer], certificate: Path | None = None) -> None:
        self.asked: list[str] = []
        self.received: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                given = answer(self.path, self.headers)
                self.send_response(given.status)
                for name, value in given.headers.items():
                    self.send_header(name, value)
                if given.stated_length is not None:
                    stated = len(given.content) if given.stated_length == -1 else given.stated_length
                    self.send_header("Content-Length", str(stated))
                self.end_headers()
                try:
                    for _ in range(given.repeated):
                        self.wfile.write(given.content)
                        time.sleep(given.pause_seconds)
                except OSError:
                    return

            def do_POST(self) -> None:
                outer.received.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.do_GET()

            def log_message(self, *arguments: object) -> None:
                return

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.root = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


SERIES, STUDY, INSTANCE = "1.2.3.4", "1.2.3.5", "1.2.3.6"
JSON = {"Content-Type": "application/dicom+json"}


def found_json(**values: Any) -> bytes:
    """One entry of a search's answer."""
    tags = {"series": "0020000E", "study": "0020000D", "instance": "00080018", "count": "00201209"}
    return json.dumps([{tags[name]: {"vr": "UI", "Value": [value]} for name, value in values.items()}]).encode()


def multipart(*parts: bytes, end: bytes = b"\r\n--b--\r\n") -> Answer:
    """Objects as WADO-RS gives them."""
    body = b"".join(b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + part for part in parts)
    return Answer(
        content=body + end, headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    )


def one_object_pacs(objects: Callable[[], Answer]) -> Callable[[str, Message], Answer]:
    """Answers with one series of one object, and for the object as a test says."""

    def answer(path: str, headers: Message) -> Answer:
        if "offset=0" not in path and "offset" in path:
            return Answer(content=b"[]", headers=JSON)
        if path.startswith("/series"):
            return Answer(content=found_json(series=SERIES, study=STUDY), headers=JSON)
        if "/instances?" in path:
            return Answer(content=found_json(instance=INSTANCE), headers=JSON)
        return objects()

    return answer


def refused(settings: PacsSettings, tmp_path: Path, code: ExitCode) -> str:
    """What a synchronisation refuses; it keeps nothing."""
    with pytest.raises(Refusal) as caught:
        synchronise(settings, tmp_path / "pacs", keyed_name)
    assert caught.value.code is code
    assert contents(tmp_path / "pacs" / "archive") == {}
    return str(caught.value)
