"""A real SuperLink with sites, as threads of the test or as processes of their own."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flwr.app import Message

from client.gate import Released
from client.link import Coordinator, LinkEvent, LinkEventKind
from client.link.fleet import serve
from common.signatures import SigningKey
from common.trust import BUNDLE, BUNDLE_SHA256, new_site_key
from server.consortium import make_certificates
from server.link import Control, Line, RoundGrid, ServerTask, SuperLink
from tests.letters import COORDINATOR, SignedSite, key_of, line_of

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def echo(message: Message) -> Message:
    """Answers what it is asked."""
    return Message(message.content, reply_to=message)


def wait_for(condition: Callable[[], bool], timeout_s: float = 90.0) -> None:
    """Returns once the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.05)


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> str:
    """End a site's process; all it printed."""
    if process.poll() is None:
        process.send_signal(number)
    return process.communicate(timeout=30)[0]


@dataclass
class ThreadSite:
    """A site in a thread of the test."""

    coordinator: Coordinator
    answer: Callable[[Message], Message] = echo
    bundle_sha256: str = BUNDLE_SHA256
    events: list[LinkEvent] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None

    def __post_init__(self) -> None:
        self.signed = SignedSite(lambda message: self.answer(message), key_of(self.coordinator.private_key))

    def run(self) -> None:
        """Serve until stopped; keeps what it raised."""
        try:
            serve(
                self.coordinator,
                lambda message: Released(self.signed.answer(message)),
                admit=self.signed.admit,
                refuse_bundle=lambda message: Released(self.signed.refuse(message)),
                bundle_sha256=self.bundle_sha256,
                stop=self.stop,
                on_event=self.events.append,
            )
        except Exception as failure:  # noqa: BLE001 - the test looks at it
            self.failure = failure

    @contextlib.contextmanager
    def running(self) -> Iterator["ThreadSite"]:
        """Runs it for the duration of a block, and stops it within 3 s."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            thread.join(3)
            assert not thread.is_alive()

    def kinds(self) -> list[LinkEventKind]:
        """Kinds of the events so far."""
        return [event.kind for event in self.events]


@dataclass
class Consortium:
    """A running SuperLink and what a test needs around it."""

    folder: Path
    superlink: SuperLink
    control: Control
    nodes: dict[str, int] = field(default_factory=dict)
    keys: dict[str, SigningKey] = field(default_factory=dict)

    wait_for = staticmethod(wait_for)
    end = staticmethod(end)
    free_port = staticmethod(free_port)
    echo = staticmethod(echo)

    def coordinator(self, site: str, *, admitted: bool = True, patience_s: float = 45.0) -> Coordinator:
        """What a new site of this name must know; its folder is what a site's process needs."""
        folder = self.folder / site
        folder.mkdir()
        private, public = new_site_key()
        (folder / "site.key").write_bytes(private)
        (folder / "coordinator.pub").write_bytes(COORDINATOR.verifying.openssh)
        self.keys[site] = key_of(private)
        (folder / "ca.crt").write_bytes(self.superlink.ca_certificate)
        if admitted:
            self.nodes[site] = self.control.register_site(public, site)
        return Coordinator(self.superlink.address, self.superlink.ca_certificate, private, folder / "state", patience_s)

    def site(self, name: str, *, admitted: bool = True, patience_s: float = 45.0, **options: object) -> ThreadSite:
        """A new site for a thread of the test."""
        return ThreadSite(self.coordinator(name, admitted=admitted, patience_s=patience_s), **options)

    def process(self, site: str) -> subprocess.Popen[str]:
        """A site of its own process, which prints its events; its folder must exist."""
        command = [sys.executable, "-m", "tests.server.link.echo_site", str(self.folder / site), self.superlink.address]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @contextlib.contextmanager
    def run(self, *, bundle: bytes = BUNDLE, **options: object) -> Iterator[RoundGrid]:
        """A new run, held by this process."""
        run_id = self.control.start_run(bundle, hashlib.sha256(bundle).hexdigest())
        with ServerTask(
            self.superlink.address, self.superlink.ca_certificate, self.superlink.secret, run_id=run_id, **options
        ) as grid:
            yield grid

    def line(self, grid: RoundGrid, *sites: str, reconnect_s: float = 60.0) -> Line:
        """The line to some sites, once all of them are online."""
        line = line_of(grid, {site: self.nodes[site] for site in sites}, self.keys, reconnect_s=reconnect_s)
        wait_for(lambda: line.online() == set(sites))
        return line


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """One SuperLink for all tests; each test names its own sites."""
    folder = tmp_path_factory.mktemp("consortium")
    certificates = make_certificates(folder / "certificates", ["localhost"])
    with (
        SuperLink(folder / "superlink", certificates, free_port()) as superlink,
        Control(superlink.address, superlink.ca_certificate, superlink.secret) as control,
    ):
        yield Consortium(folder, superlink, control)
        group, started = superlink.pid, time.monotonic()
    assert time.monotonic() - started < 6
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
