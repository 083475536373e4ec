"""The SuperLink as a supervised child process on loopback: start, health, restart, stop."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self, final

import httpx

from common.errors import ExitCode, Refusal
from common.exchange import ReplySize
from common.files import make_folder, write_atomic
from common.processes import start_child, stop_children
from common.restart_rate import RestartRate
from common.silence import SILENCE
from server.consortium import Certificates, tls_context
from server.link.round_grid import LARGEST

START_S = 60.0
STOP_S = 4.0
RESTARTS = 5
RESTARTS_WITHIN_S = 300.0
TAIL_BYTES = 4096
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@final
class SuperLink:
    """Flower's SuperLink with TLS, node authentication and a database that outlives it.

    A context manager: entering starts it and waits until it answers; leaving stops it and all it started. It listens
    on ``host`` alone. Its Control API has no authentication of its own: our door (:mod:`server.link.fleet_door`) opens
    it to whoever knows the secret, and ``host`` stays on loopback all the same. Sites come through the front proxy.

    Args:
        folder: holds the database, the log ``superlink.log`` and the secret; kept between starts. The database grows
            to the size of what is under way, sites times payload, and never shrinks.
        certificates: of the consortium.
        port: for all its APIs.
        largest: of a site's replies: what goes beyond is refused before it is stored.
        health_port: where its gRPC health service listens, on loopback; None leaves that off.
        host: address to listen on.

    Raises (on entry):
        Refusal: ``PORT_IN_USE`` if a port is taken, ``SUPERLINK_FAILED`` if it does not come up,
            ``DISK_FULL`` or ``DISK_UNWRITABLE`` if the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        port: int,
        *,
        largest: ReplySize = LARGEST,
        health_port: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._folder = folder
        self._certificates = certificates
        self._port = port
        self._largest = largest
        self._health_port = health_port
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = RestartRate(RESTARTS, RESTARTS_WITHIN_S)

    @property
    def address(self) -> str:
        """``host:port`` of its APIs."""
        return f"{self._host}:{self._port}"

    @property
    def ca_certificate(self) -> bytes:
        """PEM that verifies it."""
        return self._certificates.ca_certificate.read_bytes()

    @property
    def secret(self) -> bytes:
        """What a process must know to acquire a run's server task."""
        return self._secret_path.read_bytes()

    @property
    def log_path(self) -> Path:
        """The log of all its starts."""
        return self._folder / "superlink.log"

    @property
    def pid(self) -> int:
        """Process id; raises RuntimeError while it is not started."""
        if self._process is None:
            raise RuntimeError("the SuperLink is not started")
        return self._process.pid

    def __enter__(self) -> Self:
        make_folder(self._folder)
        if not self._secret_path.exists():
            write_atomic(self._secret_path, secrets.token_bytes(32))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def poll(self) -> bool:
        """Start it again if it died; whether that was so. Call it now and then, from the thread that entered.

        Raises:
            Refusal: ``SUPERLINK_FAILED`` if it died too often lately, or as on entry.
        """
        if self._process is not None and self._process.poll() is None:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Stop what is left of it and start it again on the same database; raises as :meth:`poll` does."""
        if not self._restarts.allows():
            raise self._failed("the SuperLink keeps ending")
        self.stop()
        self._start()

    def stop(self) -> None:
        """End it and everything in its process group within 5 s. Repeating this is harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        stop_children([process], STOP_S)

    @property
    def _secret_path(self) -> Path:
        return self._folder / "superexec.secret"

    def _start(self) -> None:
        for port in filter(None, (self._port, self._health_port)):
            _refuse_taken(self._host, port)
        environment = SILENCE | {"FLWR_HOME": str(self._folder / "flwr"), "FLWR_LOG_LEVEL": "WARNING"}
        self._process = start_child(self._command(), self.log_path, environment=environment)
        self._await_health()

    def _command(self) -> list[str]:
        options = {
            "--host": self._host,
            "--port": str(self._port),
            "--isolation": "process",
            "--superexec-auth-secret-file": str(self._secret_path),
            "--ssl-ca-certfile": str(self._certificates.ca_certificate),
            "--ssl-certfile": str(self._certificates.certificate),
            "--ssl-keyfile": str(self._certificates.key),
            "--database": str(self._folder / "superlink.db"),
        }
        if self._health_port is not None:
            options["--health-server-address"] = f"{self._host}:{self._health_port}"
        flags = ["--enable-supernode-auth", "--disable-runtime-dependency-installation"]
        entry = [sys.executable, "-P", str(Path(__file__).with_name("superlink_entry.py"))]
        entry += [str(self._secret_path), str(self._largest.size_bytes), str(self._largest.objects)]
        return [*entry, *flags, *(word for option in options.items() for word in option)]

    def _await_health(self) -> None:
        deadline = time.monotonic() + START_S
        with httpx.Client(verify=tls_context(self.ca_certificate), timeout=5.0, trust_env=False) as client:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    raise self._failed("the SuperLink ended while it started")
                try:
                    if client.get(f"https://{self.address}/health").status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        raise self._failed(f"the SuperLink gave no answer for {START_S:.0f} s")

    def _failed(self, what: str) -> Refusal:
        mend = "read the end of this log"
        return Refusal(ExitCode.SUPERLINK_FAILED, f"{what}: {self._last_line()}", where=str(self.log_path), mend=mend)

    def _last_line(self) -> str:
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(log.seek(0, os.SEEK_END) - TAIL_BYTES, 0))
                lines = _COLOURS.sub("", log.read().decode(errors="replace")).split("\n")
        except OSError:
            lines = []
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "its log is empty")


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # Without this, a port whose last connections are winding down would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            mend = "stop the program that listens there, or set another port"
            what = f"cannot listen ({os.strerror(error.errno or 0)})"
            raise Refusal(ExitCode.PORT_IN_USE, what, where=f"{host}:{port}", mend=mend) from error
