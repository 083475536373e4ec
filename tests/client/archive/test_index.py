"""A second look at an archive reads only what changed, and finds the same."""

from __future__ import annotations

import os
import time

import pytest

from client.archive import discovery
from client.archive.discovery import discover
from client.archive.index import ArchiveIndex, Listing
from client.dicom import Fault
from common.errors import Refusal
from tests.client.looking import NAMES, StandInReader, settle


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Names of the files that are opened."""
    names: list[str] = []
    real = discovery.open_file

    def noted(name, folder):
        names.append(name)
        return real(name, folder)

    monkeypatch.setattr(discovery, "open_file", noted)
    return names


def test_a_second_look_opens_no_file_and_finds_the_same(mixed, index, opened):
    first = discover(mixed, NAMES, index=index)
    written_ns = index.stat().st_mtime_ns
    opened.clear()
    assert discover(mixed, NAMES, index=index) == first == discover(mixed, NAMES)
    assert len(opened) == 10, "only the look without an index opens files"
    assert index.stat().st_mtime_ns == written_ns, "nothing changed, nothing is written"


def test_only_what_changed_is_opened_again(mixed, index, opened, series):
    discover(mixed, NAMES, index=index)
    one, two = mixed / "FOLDERNAME" / "one", mixed / "FOLDERNAME" / "two"
    content = (one / "o00001").read_bytes()
    (one / "o00001").write_bytes(content.replace(b"SIEMENS", b"PHILIPS"))
    (two / "o00002").unlink()
    series(patient_id="new").write(two / "new", [7])
    settle()
    opened.clear()
    found = discover(mixed, NAMES, index=index)
    assert sorted(opened) == ["o00000", "o00001"]
    assert sorted(len(item.slices) for item in found) == [0, 1, 1, 2, 4]
    assert {header.manufacturer for item in found for header in item.slices} == {"siemens", "philips"}
    opened.clear()
    assert discover(mixed, NAMES, index=index) == found
    assert opened == []


def test_a_change_that_keeps_size_and_time_is_seen(mixed, index):
    path = mixed / "FOLDERNAME" / "one" / "o00002"
    status, content = path.stat(), path.read_bytes()
    discover(mixed, NAMES, index=index)
    path.write_bytes(content.replace(b"SIEMENS", b"PHILIPS"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = discover(mixed, NAMES, index=index)
    assert "philips" in {header.manufacturer for item in found for header in item.slices}


def test_a_file_that_was_just_written_is_read_again(mixed, index, opened):
    """Within one tick of its clock a second change would leave all times as they are."""
    path = mixed / "FOLDERNAME" / "one" / "o00002"
    path.write_bytes(path.read_bytes())
    discover(mixed, NAMES, index=index)
    opened.clear()
    discover(mixed, NAMES, index=index)
    assert opened == ["o00002"]
    settle()
    discover(mixed, NAMES, index=index)
    opened.clear()
    discover(mixed, NAMES, index=index)
    assert opened == []


def test_a_moved_folder_is_not_read_again(mixed, index, opened):
    discover(mixed, NAMES, index=index)
    (mixed / "FOLDERNAME").rename(mixed / "elsewhere")
    opened.clear()
    found = discover(mixed, NAMES, index=index)
    assert opened == []
    assert {header.folder.parent.name for item in found for header in item.slices} <= {"elsewhere", "two"}
    assert found[0].slices[0].path.exists()


def test_another_archive_is_read_in_full(mixed, index, opened, series, tmp_path):
    first = discover(mixed, NAMES, index=index)
    writer = series(patient_id="elsewhere")
    writer.write(tmp_path / "other" / "FOLDERNAME" / "one", range(4))
    found = discover(tmp_path / "other", NAMES, index=index)
    assert [item.series for item in found] == [NAMES.of("series", writer.series_uid)]
    assert discover(mixed, NAMES, index=index) == first


def test_a_scan_that_is_ended_goes_on_where_it_kept_what_it_had(mixed, index, opened, monkeypatch):
    monkeypatch.setattr(discovery, "CHECKPOINT_FILES", 2)

    def stop(seen):
        if seen == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        discover(mixed, NAMES, index=index, progress=stop)
    kept = ArchiveIndex(index, NAMES).files
    assert 0 < kept < 10
    opened.clear()
    found = discover(mixed, NAMES, index=index)
    assert len(opened) == 10 - kept
    assert found == discover(mixed, NAMES)


def test_an_empty_archive_leaves_the_index_of_a_full_one(mixed, index, tmp_path):
    """A share that is not mounted looks like an empty folder."""
    discover(mixed, NAMES, index=index)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal):
        discover(tmp_path / "empty", NAMES, index=index)
    assert ArchiveIndex(index, NAMES).files == 10


@pytest.mark.parametrize(("fault", "asked_again"), [(Fault.DAMAGED, False), (Fault.TOO_SLOW, True)])
def test_only_faults_of_the_file_itself_are_remembered(mixed, index, fault, asked_again):
    reader = StandInReader(lambda path: fault)
    first = discover(mixed, NAMES, index=index, reader=reader)
    assert [path.name for path in reader.asked] == ["bad"]
    again = StandInReader(lambda path: fault)
    assert discover(mixed, NAMES, index=index, reader=again) == first
    assert bool(again.asked) is asked_again


def test_times_that_no_clock_shows_do_no_harm(mixed, index):
    for name, seconds in (("o00000", -(10**9)), ("o00001", 2**33), ("o00002", 2**34 - 1)):
        os.utime(mixed / "FOLDERNAME" / "one" / name, (seconds, seconds))
    settle()
    first = discover(mixed, NAMES, index=index)
    assert discover(mixed, NAMES, index=index) == first
    huge = Listing(mixed, "", 2**70, ["a"], [1], [2**64], [-(2**64)], [2**64 - 1])
    assert len(ArchiveIndex(None, NAMES).state(huge)) == 16


def test_a_second_look_at_2000_files_costs_little_of_the_first(series, tmp_path, index):
    def as_long_as_scanners_write_it(dataset, number):
        block = dataset.private_block(0x29, "MAKER", create=True)
        for element in range(60):
            block.add_new(element, "SH", f"{element}")

    data = series(edit=as_long_as_scanners_write_it).write(tmp_path, [0])[0].read_bytes()[:-6000]
    place = data.index(b"\x20\x00\x13\x00IS") + 8
    for number in range(2000):
        folder = tmp_path / "archive" / f"{number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(data[:place] + b"%2d" % (number % 100) + data[place + 2 :])
    settle()
    costs_s: dict[str, list[float]] = {"first": [], "second": []}
    for _ in range(3):
        index.unlink(missing_ok=True)
        for look in ("first", "second", "second"):
            start = time.process_time()
            found = discover(tmp_path / "archive", NAMES, index=index)
            costs_s[look].append(time.process_time() - start)
    assert len(found[0].slices) == 2000
    # 8 to 10 % on busy cores, most of it the system's own listing, which such cores make dearer than reading.
    assert min(costs_s["second"]) <= min(costs_s["first"]) / 8
