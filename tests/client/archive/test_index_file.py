"""The index on disk: what it holds, what it never holds, and what of it is believed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.archive import index_file
from client.archive.discovery import discover
from client.archive.index import ArchiveIndex, Listing
from client.archive.index_file import FolderFindings, read_index, write_index
from client.archive.pseudonym import Pseudonyms
from client.archive.slice_header import SliceHeader
from common.errors import ExitCode, Refusal
from tests.client.looking import NAMES


def test_nothing_in_the_index_names_a_patient_a_path_or_a_date(series, index, tmp_path):
    writer = series(tags={"StudyDate": "20240229"})
    writer.write(tmp_path / "FOLDERNAME")
    discover(tmp_path, NAMES, index=index)
    content = index.read_bytes()
    instance = (tmp_path / "FOLDERNAME" / "o00003").read_bytes()
    place = instance.index(b"\x08\x00\x18\x00UI") + 8
    secrets = [b"SECRET", b"7741", b"FOLDERNAME", b"o00003", b"19610704", b"20240229", b"k" * 32]
    for secret in (*secrets, writer.series_uid.encode(), writer.study_uid.encode(), instance[place : place + 40]):
        assert secret not in content
    assert index.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", ["SOPClassUID", "Modality", "ImageType", "Manufacturer"])
def test_a_name_in_the_wrong_place_of_a_header_is_not_kept(series, tmp_path, place):
    """Found by the fuzzer: an element whose tag was damaged carries its patient into another attribute."""
    value = "1.2.7741.19610704" if place == "SOPClassUID" else "SECRETNAME"
    series(tags={place: value}).write(tmp_path / "archive", [0, 1])
    found = discover(tmp_path / "archive", NAMES, index=tmp_path / "index")
    shown = (tmp_path / "index").read_bytes() + repr([item.slices for item in found]).encode()
    assert value.encode() not in shown


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_index_counts_as_none(mixed, index, data):
    expected = discover(mixed, NAMES, index=index)
    content = bytearray(index.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    index.write_bytes(content)
    assert read_index(index, ArchiveIndex(None, NAMES)._key) is None
    assert discover(mixed, NAMES, index=index) == expected
    assert ArchiveIndex(index, NAMES).files == 10, "and is made anew"


def test_an_index_of_another_site_or_release_counts_as_none(mixed, index, monkeypatch):
    discover(mixed, NAMES, index=index)
    assert ArchiveIndex(index, NAMES).files == 10
    assert ArchiveIndex(index, Pseudonyms(b"x" * 32)).files == 0
    monkeypatch.setattr(index_file, "_reading_code", lambda: b"another release")
    assert ArchiveIndex(index, NAMES).files == 0


def test_the_code_that_reads_headers_seals_the_index(monkeypatch):
    before = index_file._reading_code.__wrapped__()
    monkeypatch.setattr(index_file, "decodable", lambda syntax: False)
    assert index_file._reading_code.__wrapped__() != before


BROKEN = {
    "no_column": lambda columns: columns.pop("slice_frame"),
    "foreign_column": lambda columns: columns.update(extra=np.zeros(1)),
    "type": lambda columns: columns.update(slice_frame=columns["slice_frame"].astype(np.float32)),
    "shape": lambda columns: columns.update(slice_position=columns["slice_position"][:, :2].copy()),
    "short": lambda columns: columns.update(slice_number=columns["slice_number"][:-1]),
    "counts": lambda columns: columns.update(file_count=columns["file_count"] + 1),
    "folders": lambda columns: columns.update(folder_files=columns["folder_files"] * 2),
    "kind": lambda columns: columns.update(slice_kind=columns["slice_kind"] + 1000),
    "negative": lambda columns: columns.update(slice_kind=columns["slice_kind"] - 1000),
    "frame": lambda columns: columns.update(slice_frame=columns["slice_frame"] - 1),
    "kinds": lambda columns: columns.update(kinds=columns["kinds"][:-2].copy()),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_sealed_index_that_does_not_fit_together_counts_as_none(mixed, index, fault):
    discover(mixed, NAMES, index=index)
    key = ArchiveIndex(None, NAMES)._key
    columns, _ = read_index(index, key)
    BROKEN[fault](columns)
    body = safetensors.numpy.save(columns)
    index.write_bytes(index_file._MAGIC + index_file._seal(body, key) + body)
    assert read_index(index, key) is None


def test_a_full_disk_is_refused_and_the_index_before_stays(mixed, index, series, monkeypatch):
    discover(mixed, NAMES, index=index)
    before = index.read_bytes()
    series().write(mixed / "more", [0])

    def full(descriptor):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refusal) as refusal:
        discover(mixed, NAMES, index=index)
    assert refusal.value.code is ExitCode.DISK_FULL
    assert index.read_bytes() == before
    assert [path.name for path in index.parent.iterdir()] == [index.name]


NUMBER = st.floats(-1e6, 1e6)
VECTOR = st.lists(NUMBER, max_size=6).map(tuple)
PSEUDONYM = st.text("0123456789abcdef", min_size=32, max_size=32)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SIZE = st.integers(0, 999_999)
HEADER = st.builds(
    SliceHeader,
    folder=st.just(Path("folder")),
    name=st.just(""),
    size_bytes=st.just(7),
    modified_ns=st.just(8),
    instance=PSEUDONYM,
    position=VECTOR | st.tuples(NUMBER, NUMBER, NUMBER),
    number=st.none() | st.integers(-999_999, 999_999),
    frame=st.integers(0, 4096),
    sop_class=TEXT,
    decodable=st.booleans(),
    modality=TEXT,
    image_type=st.lists(TEXT, max_size=4).map(tuple),
    manufacturer=TEXT,
    rows=SIZE,
    columns=SIZE,
    frames=SIZE,
    orientation=VECTOR,
    pixel_spacing_mm=VECTOR,
    thickness_mm=st.none() | NUMBER,
    slope=st.none() | NUMBER,
    intercept=st.none() | NUMBER,
    padding=st.none() | st.integers(-999_999, 999_999),
    padding_limit=st.none() | st.integers(-999_999, 999_999),
    tilt_deg=st.none() | NUMBER,
    kvp=st.none() | NUMBER,
    contrast=st.booleans(),
    computed=st.booleans(),
    hounsfield=st.booleans(),
    study=PSEUDONYM,
    frame_of_reference=PSEUDONYM | st.just(""),
    acquisition=st.none() | st.integers(-999_999, 999_999),
    acquired_s=st.none() | st.floats(0, 86_399),
)
FILE = st.lists(st.tuples(st.tuples(PSEUDONYM, PSEUDONYM), HEADER), max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(FILE, min_size=1, max_size=5))
def test_whatever_was_found_comes_back_as_it_was(tmp_path, files):
    known, path = ArchiveIndex(None, NAMES), tmp_path / "index"
    names = [f"f{place}" for place in range(len(files))]
    times = [1] * len(files)
    listing = Listing(Path("folder"), "", 10**18, names, [7] * len(files), [8] * len(files), times, times)
    findings = FolderFindings(
        folder=listing.folder,
        key=known.folder_key(""),
        state=known.state(listing),
        file_keys=b"".join(known.file_key(listing, place) for place in range(len(files))),
        counts=[len(file) for file in files],
        owners=[owner for file in files for owner, _ in file],
        slices=[header._replace(name=name) for name, file in zip(names, files, strict=True) for _, header in file],
    )
    write_index(path, known._key, [findings])
    read = ArchiveIndex(path, NAMES)
    assert read.unchanged(findings.key, findings.state, listing) == findings
    for place, file in enumerate(files):
        found = read.file(known.file_key(listing, place), listing, place)
        assert (found.count, [header[4:] for header in found.slices]) == (len(file), [header[4:] for _, header in file])
