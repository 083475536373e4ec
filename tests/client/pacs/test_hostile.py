"""A PACS that answers with anything: it costs the site neither its memory, nor its time, nor a believed word."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest

from client.pacs import PacsSettings, synchronise
from common.errors import ExitCode
from tests.client.pacs.hostile import (
    INSTANCE,
    JSON,
    SERIES,
    STUDY,
    Answer,
    HostileServer,
    found_json,
    multipart,
    one_object_pacs,
    refused,
)
from tests.client.pacs.orthanc import contents, keyed_name

pytestmark = pytest.mark.usefixtures("quick")

Hostile = Callable[..., PacsSettings]


def test_the_object_asked_for_is_kept(hostile: Hostile, tmp_path: Path, good: bytes) -> None:
    archive = synchronise(hostile(one_object_pacs(lambda: multipart(good))), tmp_path / "pacs", keyed_name)
    assert len(contents(archive)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda good: multipart(),
        lambda good: multipart(good, end=b""),
        lambda good: Answer(content=good, headers={"Content-Type": "application/dicom"}),
        lambda good: Answer(content=good, headers={}),
        lambda good: multipart(good, good),
        lambda good: multipart(b"rubbish"),
        lambda good: multipart(b"\0" * 128 + b"DICM" + b"\xff" * 4000),
        lambda good: multipart(good[:700]),
        lambda good: multipart(good[:-500]),
        lambda good: multipart(good.replace(INSTANCE.encode(), b"1.2.3.7")),
        lambda good: multipart(good.replace(SERIES.encode(), b"1.2.3.8")),
        lambda good: Answer(404),
        lambda good: Answer(406),
        lambda good: Answer(500),
    ],
    ids=[
        "nothing",
        "without an end",
        "no parts",
        "no type",
        "two objects",
        "no DICOM",
        "broken DICOM",
        "half a header",
        "half the pixels",
        "another object",
        "of another series",
        "not found",
        "not acceptable",
        "server fault",
    ],
)
def test_what_is_not_the_object_asked_for_is_not_kept(
    hostile: Hostile,
    tmp_path: Path,
    good: bytes,
    answer: Callable[[bytes], Answer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    archive = synchronise(
        hostile(one_object_pacs(lambda: answer(good)), patience_seconds=5), tmp_path / "pacs", keyed_name
    )
    assert contents(archive) == {}
    assert "1 series left out" in caplog.text


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("of_object", [False, True], ids=["search", "object"])
def test_a_redirect_is_not_followed(hostile: Hostile, tmp_path: Path, status: int, of_object: bool) -> None:
    elsewhere = HostileServer(
        lambda path, headers: Answer(content=found_json(series=SERIES, study=STUDY), headers=JSON)
    )
    redirect = Answer(status, headers={"Location": f"{elsewhere.root}/series"})
    answer = one_object_pacs(lambda: redirect) if of_object else lambda path, headers: redirect
    try:
        assert "sends this site elsewhere" in refused(hostile(answer), tmp_path, ExitCode.PACS_REFUSED)
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


def test_an_answer_of_any_size_costs_no_more_than_the_limit(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("client.pacs.session.MOST_OBJECT_BYTES", 4 << 20)
    monkeypatch.setattr("client.pacs.session.MOST_SEARCH_BYTES", 1 << 20)
    endless = Answer(content=b"[" * (1 << 20), headers=JSON, stated_length=None, repeated=400)
    tracemalloc.start()
    try:
        synchronise(hostile(one_object_pacs(lambda: endless)), tmp_path / "pacs", keyed_name)
        assert "too large" in refused(hostile(lambda path, headers: endless), tmp_path / "other", ExitCode.PACS_REFUSED)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20
    assert "1 series left out" in caplog.text


def test_a_compressed_answer_is_refused_before_it_grows(hostile: Hostile, tmp_path: Path) -> None:
    bomb = Answer(content=b"\x1f\x8b" + bytes(100), headers={**JSON, "Content-Encoding": "gzip"})
    assert "compresses" in refused(hostile(lambda path, headers: bomb), tmp_path, ExitCode.PACS_REFUSED)


def test_a_pacs_that_drips_runs_out_of_time(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("client.pacs.session._ANSWER_SECONDS", 0.2)
    drip = Answer(content=b" ", headers=JSON, stated_length=None, repeated=1000, pause_seconds=0.05)
    refused(hostile(lambda path, headers: drip), tmp_path, ExitCode.PACS_UNREACHABLE)
    synchronise(hostile(one_object_pacs(lambda: drip), patience_seconds=20), tmp_path / "pacs", keyed_name)
    assert "1 series left out" in caplog.text


def test_an_answer_shorter_than_it_says_is_never_believed(hostile: Hostile, tmp_path: Path, good: bytes) -> None:
    short = multipart(good)
    short.stated_length = 100_000
    short.headers["Connection"] = "close"
    refused(hostile(one_object_pacs(lambda: short)), tmp_path, ExitCode.PACS_UNREACHABLE)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_pacs_that_is_busy_is_asked_again(hostile: Hostile, tmp_path: Path, good: bytes, status: int) -> None:
    answers = [Answer(status), Answer(status), multipart(good)]
    archive = synchronise(
        hostile(one_object_pacs(lambda: answers.pop(0)), patience_seconds=20), tmp_path / "pacs", keyed_name
    )
    assert len(contents(archive)) == 1


def test_a_pacs_that_fails_over_everything_is_unreachable(hostile: Hostile, tmp_path: Path) -> None:
    instances = json.dumps([json.loads(found_json(instance=f"1.2.{number}"))[0] for number in range(1, 30)]).encode()

    def answer(path: str, headers: Message) -> Answer:
        if "/instances?" in path and "offset=0" in path:
            return Answer(content=instances, headers=JSON)
        return one_object_pacs(lambda: Answer(500))(path, headers)

    words = refused(hostile(answer, patience_seconds=5), tmp_path, ExitCode.PACS_UNREACHABLE)
    assert "one object after another" in words


@pytest.mark.parametrize("status", [401, 403])
def test_a_pacs_that_does_not_admit_the_site(hostile: Hostile, tmp_path: Path, status: int) -> None:
    settings = hostile(lambda path, headers: Answer(status))
    assert "does not admit" in refused(settings, tmp_path, ExitCode.PACS_REFUSED)


def test_no_proxy_and_no_netrc_is_used(
    hostile: Hostile, tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = HostileServer(lambda path, headers: Answer(500))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.root)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    signed_in: list[object] = []
    serve = one_object_pacs(lambda: multipart(good))

    def answer(path: str, headers: Message) -> Answer:
        signed_in.append(headers["Authorization"])
        return serve(path, headers)

    try:
        synchronise(hostile(answer), tmp_path / "pacs", keyed_name)
        assert proxy.asked == []
        assert set(signed_in) == {None}
    finally:
        proxy.close()
