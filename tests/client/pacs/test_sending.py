"""Objects reach a real server over STOW-RS, and one that does not take them all is told by one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

import pytest
import requests
from pydantic import ValidationError
from pydicom.uid import generate_uid

from client.pacs import Destination, send_objects
from client.pacs import sending as place
from common.errors import ExitCode, Refusal
from tests.client.pacs.hostile import JSON, Answer, HostileServer
from tests.client.pacs.orthanc import PASSWORD, Orthanc, file_bytes, image_object

Serve = Callable[..., HostileServer]


def files(folder: Path, count: int = 5) -> list[Path]:
    series, study = generate_uid(), generate_uid()
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(file_bytes(image_object(number, series, study), folder))
    return paths


def destination(orthanc: Orthanc, url: str | None = None) -> Destination:
    return Destination(
        url=url or f"{orthanc.root}/dicom-web", user="tomoray", password_file=orthanc.folder / "password"
    )


@pytest.mark.orthanc
def test_every_object_arrives_byte_for_byte_in_several_batches(
    new_orthanc: Callable[..., Orthanc], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "MOST_BATCH_BYTES", 8000)
    orthanc, sent = new_orthanc(), files(tmp_path)
    send_objects(destination(orthanc), "reading-room", sent)
    send_objects(destination(orthanc), "reading-room", sent)
    kept = requests.get(f"{orthanc.root}/instances", auth=("tomoray", PASSWORD), timeout=10).json()
    got = {
        requests.get(f"{orthanc.root}/instances/{one}/file", auth=("tomoray", PASSWORD), timeout=10).content
        for one in kept
    }
    assert got == {path.read_bytes() for path in sent}


@pytest.mark.orthanc
def test_a_server_that_does_not_admit_this_site_is_named(new_orthanc: Callable[..., Orthanc], tmp_path: Path) -> None:
    orthanc, sent = new_orthanc(), files(tmp_path, 1)
    (orthanc.folder / "password").write_text("wrong")
    assert code_of(destination(orthanc), sent) == ExitCode.PACS_REFUSED


def code_of(where: Destination, sent: list[Path]) -> ExitCode:
    with pytest.raises(Refusal) as caught:
        send_objects(where, "reading-room", sent)
    assert "SECRET" not in str(caught.value)
    return caught.value.code


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setattr(place, "_WAIT_SECONDS", 0.01)
    servers: list[HostileServer] = []

    def start(*answers: Answer) -> HostileServer:
        waiting = list(answers)

        def answer(_path: str, _headers: Message) -> Answer:
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

        servers.append(HostileServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def told(stored: int, failed: int = 0) -> bytes:
    values = {"00081199": [{}] * stored, "00081198": [{}] * failed}
    return json.dumps({tag: {"vr": "SQ", "Value": items} for tag, items in values.items() if items}).encode()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(202, told(2, failed=1), JSON), ExitCode.SENDING_FAILED),
        (Answer(409, told(0, failed=3), JSON), ExitCode.SENDING_FAILED),
        (Answer(200, told(2), JSON), ExitCode.SENDING_FAILED),
        (Answer(200, b"", JSON), ExitCode.SENDING_FAILED),
        (Answer(200, b"<html>welcome</html>"), ExitCode.SENDING_FAILED),
        (Answer(200, b"[[[", JSON), ExitCode.SENDING_FAILED),
        (Answer(503), ExitCode.SENDING_FAILED),
        (Answer(404), ExitCode.PACS_REFUSED),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), ExitCode.PACS_REFUSED),
    ],
)
def test_whatever_is_not_a_whole_yes_is_a_refusal(serve: Serve, tmp_path: Path, answer: Answer, code: ExitCode) -> None:
    assert code_of(Destination(url=serve(answer).root), files(tmp_path, 3)) == code


def test_a_server_that_is_away_for_a_moment_is_asked_again(serve: Serve, tmp_path: Path) -> None:
    server = serve(Answer(503), Answer(200, told(3), JSON))
    send_objects(Destination(url=server.root), "reading-room", files(tmp_path, 3))
    assert server.asked == ["/studies", "/studies"]


def test_a_destination_is_reached_over_https_or_on_this_machine_alone() -> None:
    Destination(url="https://pacs.example.org/dicom-web")
    for url in ("http://pacs.example.org/dicom-web", "ftp://127.0.0.1/", "https://user@host/"):
        with pytest.raises(ValidationError):
            Destination(url=url)
