"""Objects of many frames: told apart by frame, as many as an archive may hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client.archive import discovery
from client.archive.discovery import discover
from client.archive.eligibility import judge_headers
from client.archive.verdict_codes import VerdictCode
from client.dicom import Fault, HeaderGlance, ReadFile
from common.study import CohortSettings
from tests.client.looking import NAMES, StandInReader, settle


@pytest.fixture
def many_frames(mixed, monkeypatch):
    """A reader that tells three objects of five frames apart, in an archive that may hold the frames of two."""
    monkeypatch.setattr(discovery, "MOST_FRAMES_BEYOND", 9)
    images = {}
    for place in ("one/o00000", "one/o00001", "two/o00000"):
        path = mixed / "FOLDERNAME" / place
        data = path.read_bytes()
        images[path] = HeaderGlance().of(data, len(data))
        path.write_bytes(data[132:])
    settle()

    def answer(path):
        if path not in images:
            return Fault.DAMAGED
        frames = tuple(replace(images[path], frame=frame, number=frame + 1) for frame in range(5))
        return ReadFile(path.stat().st_size, path.stat().st_mtime_ns, frames)

    return StandInReader(answer)


def frames_told(found) -> list[tuple[str, int]]:
    """Of objects of several frames, their folders and the frames they stand for."""
    slices = [header for item in found for header in item.slices if header.frames > 1 or header.frame]
    return sorted({(header.folder.name, header.frames) for header in slices})


def test_objects_of_many_frames_are_kept_frame_by_frame(mixed, index):
    path = mixed / "FOLDERNAME" / "one" / "o00000"
    data = path.read_bytes()
    image = HeaderGlance().of(data, len(data))
    frames = tuple(replace(image, frame=frame, number=frame + 1, position=(0, 0, 2.5 * frame)) for frame in range(5))
    status = path.stat()
    path.write_bytes(data[132:])
    settle()
    reader = StandInReader(
        lambda asked: ReadFile(status.st_size, status.st_mtime_ns, frames) if asked == path else Fault.DAMAGED
    )
    first = discover(mixed, NAMES, index=index, reader=reader)
    again = StandInReader(None)
    assert discover(mixed, NAMES, index=index, reader=again) == first
    assert again.asked == []
    numbers = {header.frame: header.position for item in first for header in item.slices if header.name == path.name}
    assert numbers[4] == (0, 0, 10)


def test_frames_beyond_what_an_archive_may_hold_are_not_told_apart(mixed, index, many_frames):
    found = discover(mixed, NAMES, index=index, reader=many_frames)
    assert frames_told(found) == [("one", 1), ("two", 5)]
    assert sum(len(item.slices) for item in found) == 8 + 2 * 4
    refused = next(item for item in found if any(header.frames > 1 for header in item.slices))
    assert judge_headers(refused, CohortSettings(minimum_cases=1)) is VerdictCode.MULTI_FRAME


def test_frames_that_were_too_many_are_told_apart_once_there_is_room(mixed, index, many_frames):
    first = discover(mixed, NAMES, index=index, reader=many_frames)
    many_frames.asked.clear()
    assert discover(mixed, NAMES, index=index, reader=many_frames) == first
    assert [path.parent.name for path in many_frames.asked if path.name != "bad"] == ["two"]
    (mixed / "FOLDERNAME" / "one" / "o00000").unlink()
    found = discover(mixed, NAMES, index=index, reader=many_frames)
    assert frames_told(found) == [("one", 1), ("two", 1)]


def test_an_index_brings_no_more_frames_than_an_archive_may_hold(mixed, index, many_frames, monkeypatch):
    discover(mixed, NAMES, index=index, reader=many_frames)
    monkeypatch.setattr(discovery, "MOST_FRAMES_BEYOND", 4)
    found = discover(mixed, NAMES, index=index, reader=many_frames)
    assert frames_told(found) == [("one", 1), ("one", 5), ("two", 5)]
