"""A PACS that answers with anything: it costs the site neither its memory, nor its time, nor a believed word."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from client.dicom import Fault, ObjectReader
from client.pacs import PacsSettings, synchronise
from common.errors import ExitCode, Refusal
from tests.client.pacs.hostile import Answer, HostileServer
from tests.client.pacs.orthanc import contents, file_bytes, image_object, keyed_name

SERIES, STUDY, INSTANCE = "1.2.3.4", "1.2.3.5", "1.2.3.6"
Hostile = Callable[..., PacsSettings]
JSON = {"Content-Type": "application/dicom+json"}


def _found(**values: Any) -> bytes:
    tags = {"series": "0020000E", "study": "0020000D", "instance": "00080018", "count": "00201209"}
    return json.dumps([{tags[name]: {"vr": "UI", "Value": [value]} for name, value in values.items()}]).encode()


def _multipart(*parts: bytes, end: bytes = b"\r\n--b--\r\n") -> Answer:
    body = b"".join(b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + part for part in parts)
    return Answer(
        content=body + end, headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    )


def _pacs(objects: Callable[[], Answer]) -> Callable[[str, Message], Answer]:
    """Answers with one series of one object, and for the object as a test says."""

    def answer(path: str, headers: Message) -> Answer:
        if "offset=0" not in path and "offset" in path:
            return Answer(content=b"[]", headers=JSON)
        if path.startswith("/series"):
            return Answer(content=_found(series=SERIES, study=STUDY), headers=JSON)
        if "/instances?" in path:
            return Answer(content=_found(instance=INSTANCE), headers=JSON)
        return objects()

    return answer


def _refused(settings: PacsSettings, tmp_path: Path, code: ExitCode) -> str:
    with pytest.raises(Refusal) as caught:
        synchronise(settings, tmp_path / "pacs", keyed_name)
    assert caught.value.code is code
    assert contents(tmp_path / "pacs" / "archive") == {}
    return str(caught.value)


@pytest.fixture(scope="module")
def reader() -> Iterator[ObjectReader]:
    with ObjectReader() as reader:
        # Its process ends with the thread that starts it.
        assert reader.read(b"\0" * 128 + b"DICM") is Fault.DAMAGED
        yield reader


@pytest.fixture(autouse=True)
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


def test_the_object_asked_for_is_kept(hostile: Hostile, tmp_path: Path, good: bytes) -> None:
    archive = synchronise(hostile(_pacs(lambda: _multipart(good))), tmp_path / "pacs", keyed_name)
    assert len(contents(archive)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda good: _multipart(),
        lambda good: _multipart(good, end=b""),
        lambda good: Answer(content=good, headers={"Content-Type": "application/dicom"}),
        lambda good: Answer(content=good, headers={}),
        lambda good: _multipart(good, good),
        lambda good: _multipart(b"rubbish"),
        lambda good: _multipart(b"\0" * 128 + b"DICM" + b"\xff" * 4000),
        lambda good: _multipart(good[:700]),
        lambda good: _multipart(good[:-500]),
        lambda good: _multipart(good.replace(INSTANCE.encode(), b"1.2.3.7")),
        lambda good: _multipart(good.replace(SERIES.encode(), b"1.2.3.8")),
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
    archive = synchronise(hostile(_pacs(lambda: answer(good)), patience_seconds=5), tmp_path / "pacs", keyed_name)
    assert contents(archive) == {}
    assert "1 series left out" in caplog.text


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("of_object", [False, True], ids=["search", "object"])
def test_a_redirect_is_not_followed(hostile: Hostile, tmp_path: Path, status: int, of_object: bool) -> None:
    elsewhere = HostileServer(lambda path, headers: Answer(content=_found(series=SERIES, study=STUDY), headers=JSON))
    redirect = Answer(status, headers={"Location": f"{elsewhere.root}/series"})
    answer = _pacs(lambda: redirect) if of_object else lambda path, headers: redirect
    try:
        assert "sends this site elsewhere" in _refused(hostile(answer), tmp_path, ExitCode.PACS_REFUSED)
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>sign in</html>", "no DICOM JSON"),
        (b"[" * 100_000, "no DICOM JSON"),
        (b'"text"', "no DICOM JSON"),
        (b"\xff\xfe", "no DICOM JSON"),
        (b"[]", "finds no series"),
        (b'[1, null, {"0020000E": 3}, {"0020000E": {"Value": {}}}, {"0020000E": {"Value": [[]]}}]', "finds no series"),
    ],
)
def test_a_search_answered_with_rubbish(hostile: Hostile, tmp_path: Path, content: bytes, words: str) -> None:
    code = ExitCode.ARCHIVE_EMPTY if "finds no" in words else ExitCode.PACS_REFUSED
    settings = hostile(lambda path, headers: Answer(content=content, headers=JSON))
    assert words in _refused(settings, tmp_path, code)


@pytest.mark.parametrize("uid", ["../../etc", "1.2.3/../..", "1.2?x=1", "1.2\r\nX: y", "1" * 65, "", "1.2.3\n", "١.٢"])
def test_a_uid_that_is_none_never_becomes_part_of_an_address(hostile: Hostile, tmp_path: Path, uid: str) -> None:
    asked: list[str] = []

    def answer(path: str, headers: Message) -> Answer:
        asked.append(path)
        if path.startswith("/series"):
            return Answer(content=_found(series=uid, study=STUDY), headers=JSON)
        return Answer(content=_found(instance=uid), headers=JSON)

    _refused(hostile(answer), tmp_path, ExitCode.ARCHIVE_EMPTY)
    assert all(path.startswith("/series?") for path in asked)


def test_a_search_without_an_end_is_refused(hostile: Hostile, tmp_path: Path) -> None:
    def answer(path: str, headers: Message) -> Answer:
        page = [json.loads(_found(series=generate_uid(), study=STUDY))[0] for _ in range(200)]
        return Answer(content=json.dumps(page).encode(), headers=JSON)

    settings = hostile(answer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.pacs.search.MOST_FOUND", 1000)
        assert "finds more than 1000" in _refused(settings, tmp_path, ExitCode.PACS_REFUSED)


def test_a_pacs_that_ignores_pages_is_noticed(hostile: Hostile, tmp_path: Path) -> None:
    entries = [json.loads(_found(series=f"1.2.{number + 1}", study=STUDY))[0] for number in range(250)]
    pages = {size: json.dumps(entries[:size]).encode() for size in (200, 250)}
    cut = hostile(lambda path, headers: Answer(content=pages[200], headers=JSON))
    assert "by page" in _refused(cut, tmp_path, ExitCode.PACS_REFUSED)

    def whole(path: str, headers: Message) -> Answer:
        return Answer(content=pages[250], headers=JSON) if path.startswith("/series") else Answer(404)

    archive = synchronise(hostile(whole, most_series=3), tmp_path / "pacs", keyed_name)
    assert contents(archive) == {}


def test_an_answer_of_any_size_costs_no_more_than_the_limit(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("client.pacs.connection.MOST_OBJECT_BYTES", 4 << 20)
    monkeypatch.setattr("client.pacs.connection.MOST_SEARCH_BYTES", 1 << 20)
    endless = Answer(content=b"[" * (1 << 20), headers=JSON, stated_length=None, repeated=400)
    tracemalloc.start()
    try:
        synchronise(hostile(_pacs(lambda: endless)), tmp_path / "pacs", keyed_name)
        assert "too large" in _refused(
            hostile(lambda path, headers: endless), tmp_path / "other", ExitCode.PACS_REFUSED
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20
    assert "1 series left out" in caplog.text


def test_a_compressed_answer_is_refused_before_it_grows(hostile: Hostile, tmp_path: Path) -> None:
    bomb = Answer(content=b"\x1f\x8b" + bytes(100), headers={**JSON, "Content-Encoding": "gzip"})
    assert "compresses" in _refused(hostile(lambda path, headers: bomb), tmp_path, ExitCode.PACS_REFUSED)


def test_a_pacs_that_drips_runs_out_of_time(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("client.pacs.connection._ANSWER_SECONDS", 0.2)
    drip = Answer(content=b" ", headers=JSON, stated_length=None, repeated=1000, pause_seconds=0.05)
    _refused(hostile(lambda path, headers: drip), tmp_path, ExitCode.PACS_UNREACHABLE)
    synchronise(hostile(_pacs(lambda: drip), patience_seconds=20), tmp_path / "pacs", keyed_name)
    assert "1 series left out" in caplog.text


def test_an_answer_shorter_than_it_says_is_never_believed(hostile: Hostile, tmp_path: Path, good: bytes) -> None:
    short = _multipart(good)
    short.stated_length = 100_000
    short.headers["Connection"] = "close"
    _refused(hostile(_pacs(lambda: short)), tmp_path, ExitCode.PACS_UNREACHABLE)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_pacs_that_is_busy_is_asked_again(hostile: Hostile, tmp_path: Path, good: bytes, status: int) -> None:
    answers = [Answer(status), Answer(status), _multipart(good)]
    archive = synchronise(hostile(_pacs(lambda: answers.pop(0)), patience_seconds=20), tmp_path / "pacs", keyed_name)
    assert len(contents(archive)) == 1


def test_a_pacs_that_fails_over_everything_is_unreachable(hostile: Hostile, tmp_path: Path) -> None:
    instances = json.dumps([json.loads(_found(instance=f"1.2.{number}"))[0] for number in range(1, 30)]).encode()

    def answer(path: str, headers: Message) -> Answer:
        if "/instances?" in path and "offset=0" in path:
            return Answer(content=instances, headers=JSON)
        return _pacs(lambda: Answer(500))(path, headers)

    words = _refused(hostile(answer, patience_seconds=5), tmp_path, ExitCode.PACS_UNREACHABLE)
    assert "one object after another" in words


@pytest.mark.parametrize("status", [401, 403])
def test_a_pacs_that_does_not_admit_the_site(hostile: Hostile, tmp_path: Path, status: int) -> None:
    settings = hostile(lambda path, headers: Answer(status))
    assert "does not admit" in _refused(settings, tmp_path, ExitCode.PACS_REFUSED)


@pytest.mark.parametrize("status", [400, 404, 405])
def test_an_address_without_dicomweb(hostile: Hostile, tmp_path: Path, status: int) -> None:
    settings = hostile(lambda path, headers: Answer(status))
    assert "set url to the root" in _refused(settings, tmp_path, ExitCode.PACS_REFUSED)


def test_no_proxy_and_no_netrc_is_used(
    hostile: Hostile, tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = HostileServer(lambda path, headers: Answer(500))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.root)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    signed_in: list[object] = []
    serve = _pacs(lambda: _multipart(good))

    def answer(path: str, headers: Message) -> Answer:
        signed_in.append(headers["Authorization"])
        return serve(path, headers)

    try:
        synchronise(hostile(answer), tmp_path / "pacs", keyed_name)
        assert proxy.asked == []
        assert set(signed_in) == {None}
    finally:
        proxy.close()
