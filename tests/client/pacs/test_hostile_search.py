"""A search that is answered with anything ends in one line, and nothing of it becomes part of an address."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from client.pacs import PacsSettings, synchronise
from common.errors import ExitCode
from tests.client.pacs.hostile import JSON, STUDY, Answer, found_json, refused
from tests.client.pacs.orthanc import contents, keyed_name

pytestmark = pytest.mark.usefixtures("quick")

Hostile = Callable[..., PacsSettings]


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
    assert words in refused(settings, tmp_path, code)


@pytest.mark.parametrize("uid", ["../../etc", "1.2.3/../..", "1.2?x=1", "1.2\r\nX: y", "1" * 65, "", "1.2.3\n", "١.٢"])
def test_a_uid_that_is_none_never_becomes_part_of_an_address(hostile: Hostile, tmp_path: Path, uid: str) -> None:
    asked: list[str] = []

    def answer(path: str, headers: Message) -> Answer:
        asked.append(path)
        if path.startswith("/series"):
            return Answer(content=found_json(series=uid, study=STUDY), headers=JSON)
        return Answer(content=found_json(instance=uid), headers=JSON)

    refused(hostile(answer), tmp_path, ExitCode.ARCHIVE_EMPTY)
    assert all(path.startswith("/series?") for path in asked)


def test_a_search_without_an_end_is_refused(hostile: Hostile, tmp_path: Path) -> None:
    def answer(path: str, headers: Message) -> Answer:
        page = [json.loads(found_json(series=generate_uid(), study=STUDY))[0] for _ in range(200)]
        return Answer(content=json.dumps(page).encode(), headers=JSON)

    settings = hostile(answer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.pacs.search.MOST_FOUND", 1000)
        assert "finds more than 1000" in refused(settings, tmp_path, ExitCode.PACS_REFUSED)


def test_a_pacs_that_ignores_pages_is_noticed(hostile: Hostile, tmp_path: Path) -> None:
    entries = [json.loads(found_json(series=f"1.2.{number + 1}", study=STUDY))[0] for number in range(250)]
    pages = {size: json.dumps(entries[:size]).encode() for size in (200, 250)}
    cut = hostile(lambda path, headers: Answer(content=pages[200], headers=JSON))
    assert "by page" in refused(cut, tmp_path, ExitCode.PACS_REFUSED)

    def whole(path: str, headers: Message) -> Answer:
        return Answer(content=pages[250], headers=JSON) if path.startswith("/series") else Answer(404)

    archive = synchronise(hostile(whole, most_series=3), tmp_path / "pacs", keyed_name)
    assert contents(archive) == {}


@pytest.mark.parametrize("status", [400, 404, 405])
def test_an_address_without_dicomweb(hostile: Hostile, tmp_path: Path, status: int) -> None:
    settings = hostile(lambda path, headers: Answer(status))
    assert "set url to the root" in refused(settings, tmp_path, ExitCode.PACS_REFUSED)
