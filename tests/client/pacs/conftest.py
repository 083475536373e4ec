"""Starts PACS of the tests' own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom.uid import generate_uid

from client.dicom import Fault, ObjectReader
from client.pacs import PacsSettings
from tests import absences
from tests.client.pacs.hostile import INSTANCE, SERIES, STUDY, Answer, HostileServer
from tests.client.pacs.orthanc import PLUGIN, Orthanc, Sent, basic_authorization, contents, file_bytes, image_object


@pytest.fixture(scope="session")
def needs_orthanc() -> None:
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip(absences.ORTHANC)


@pytest.fixture
def new_orthanc(needs_orthanc: None, tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Starts an Orthanc; every one is ended with the test."""
    started: list[Orthanc] = []

    def start(**options: Any) -> Orthanc:
        started.append(Orthanc(tmp_path / f"orthanc{len(started)}", **options))
        return started[-1]

    yield start
    for orthanc in started:
        orthanc.kill()


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., Sent]:
    """Sends one series to an Orthanc."""

    def send(orthanc: Orthanc, slices: int = 6, **tags: Any) -> Sent:
        series, study = generate_uid(), generate_uid()
        contents = [file_bytes(image_object(index, series, study, **tags), tmp_path) for index in range(slices)]
        for content in contents:
            orthanc.store(content)
        return Sent(series, study, contents)

    return send


KILLED_SYNC = """
import json, os, signal, sys
from pathlib import Path
from client.dicom import Fault, ObjectReader
from client.pacs import PacsSettings
from client.pacs.store import PacsStore
from client.pacs import synchronise
from tests.client.pacs.orthanc import keyed_name

keep, after = PacsStore.keep, int(sys.argv[3])


def keep_and_die(self, *arguments):
    global after
    if after == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    after -= 1
    keep(self, *arguments)


PacsStore.keep = keep_and_die
synchronise(PacsSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]), keyed_name)
"""


@pytest.fixture
def killed_sync() -> Callable[..., int]:
    """Runs a synchronisation in a process that is killed, and says how many objects it kept."""

    def run(settings: PacsSettings, folder: Path, after: int) -> int:
        arguments = [settings.model_dump_json(), str(folder), str(after)]
        done = subprocess.run([sys.executable, "-c", KILLED_SYNC, *arguments], check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL
        return len(contents(folder / "incoming")) + len(contents(folder / "archive"))

    return run


@pytest.fixture
def door() -> Iterator[Callable[..., str]]:
    """Puts a door before an Orthanc, as hospitals do: it asks for a bearer token, or speaks TLS. Gives its address."""
    servers: list[HostileServer] = []

    def guard(orthanc: Orthanc, token: str | None = None, certificate: Path | None = None) -> str:
        def answer(path: str, headers: Message) -> Answer:
            if token is not None and headers["Authorization"] != f"Bearer {token}":
                return Answer(401)
            kept = {"Accept": headers["Accept"], "Authorization": headers["Authorization"]}
            own = {"Authorization": basic_authorization()} if token is not None else {}
            inner = requests.get(orthanc.root + path, headers=kept | own, timeout=10)
            return Answer(inner.status_code, inner.content, {"Content-Type": inner.headers["Content-Type"]})

        servers.append(HostileServer(answer, certificate))
        return f"{servers[-1].root}/dicom-web"

    yield guard
    for server in servers:
        server.close()


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Callable[[Callable[[str, Message], Answer]], PacsSettings]]:
    """Starts a PACS that answers whatever a test wants; gives the settings for it."""
    servers: list[HostileServer] = []

    def start(answer: Callable[[str, Message], Answer], **changes: Any) -> PacsSettings:
        servers.append(HostileServer(answer))
        return PacsSettings(**({"url": servers[-1].root, "patience_seconds": 0.5, "connections": 1} | changes))

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def reader() -> Iterator[ObjectReader]:
    with ObjectReader() as reader:
        # Its process ends with the thread that starts it.
        assert reader.read(b"\0" * 128 + b"DICM") is Fault.DAMAGED
        yield reader


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, reader: ObjectReader) -> None:
    """One reading process for all of these tests, and short waits."""
    monkeypatch.setattr("client.pacs.sync.ObjectReader", lambda: nullcontext(reader))
    monkeypatch.setattr("client.pacs.patience.FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    """The object that is asked for."""
    dataset = image_object(0, SERIES, STUDY)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = INSTANCE
    return file_bytes(dataset, tmp_path)
