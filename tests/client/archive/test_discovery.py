from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from client.archive import discovery
from client.archive.discovery import discover
from client.archive.folders import MAXIMUM_DEPTH
from client.archive.grouping import Series
from client.archive.packed import PACKED_BYTES, is_packed
from client.archive.pseudonym import Pseudonyms
from common.errors import ExitCode, Refusal

NAMES = Pseudonyms(b"k" * 32)
PHI_ID = "MRN-7741-SECRET"


def found_in(folder: Path) -> tuple[Series, ...]:
    """What is found, also where that is nothing."""
    try:
        return discover(folder, NAMES)
    except Refusal as refusal:
        assert refusal.code is ExitCode.ARCHIVE_EMPTY
        return ()


@pytest.fixture(scope="module")
def one_file(series, tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("one")
    return series().write(folder, [0])[0].read_bytes()


def test_series_are_grouped_by_uid_across_folders_whatever_files_are_called(series, tmp_path):
    first, second = series(patient_id="a"), series(patient_id="b")
    paths = first.write(tmp_path / "x", [3, 1, 2])
    for number, path in enumerate(paths):
        target = tmp_path / "deep" / str(number) / "IMG.jpg"
        target.parent.mkdir(parents=True)
        path.rename(target)
    second.write(tmp_path / "deep" / "1", [0, 1])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").write_bytes(b"")
    found = discover(tmp_path, NAMES)
    assert sorted(len(item.slices) for item in found) == [2, 3]
    assert len({item.patient for item in found}) == 2


def test_what_is_found_does_not_depend_on_file_names_or_order(series, tmp_path):
    writer = series()
    writer.write(tmp_path / "up")
    writer.write(tmp_path / "down", range(39, -1, -1))
    up, down = discover(tmp_path / "up", NAMES), discover(tmp_path / "down", NAMES)
    assert [item.series for item in up] == [item.series for item in down]
    assert {header.instance for header in up[0].slices} == {header.instance for header in down[0].slices}


def test_links_are_not_followed(series, tmp_path):
    outside, archive = tmp_path / "outside", tmp_path / "archive"
    series().write(outside)
    series().write(archive / "real", [0])
    (archive / "linked").symlink_to(outside)
    (archive / "file").symlink_to(outside / "o00001")
    (archive / "loop").symlink_to(archive)
    assert [len(item.slices) for item in discover(archive, NAMES)] == [1]


def test_pipes_are_passed_over_without_blocking(series, tmp_path):
    series().write(tmp_path, [0])
    os.mkfifo(tmp_path / "pipe")
    assert len(discover(tmp_path, NAMES)) == 1


def test_names_of_any_bytes_are_found(series, tmp_path):
    (source,) = series().write(tmp_path / "plain", [0])
    odd = [b"new\nline", b"\xff\xfe", b" ", b"-rf", "\N{SNOWMAN}".encode(), b"x" * 255]
    for name in odd:
        path = tmp_path / os.fsdecode(b"f" + name[:200]) / os.fsdecode(name)
        path.parent.mkdir()
        path.write_bytes(source.read_bytes())
    index = tmp_path / "state" / "index"
    for _ in range(2):
        (found,) = discover(tmp_path, NAMES, index=index)
        assert {os.fsencode(header.name) for header in found.slices} == {*odd, b"o00000"}
        assert all(header.path.read_bytes() for header in found.slices)


def test_thousands_of_empty_folders_cost_little(series, tmp_path):
    series().write(tmp_path / "real", [0])
    for number in range(2000):
        (tmp_path / f"{number}").mkdir()
    start = time.process_time()
    assert len(discover(tmp_path, NAMES)) == 1
    assert time.process_time() - start < 2


def test_nesting_beyond_the_limit_is_passed_over(series, tmp_path):
    """Built by descriptors: the whole path is longer than the system takes in one piece."""
    (source,) = series().write(tmp_path / "z", [0])
    data = source.read_bytes()
    name, at = "d" * 100, os.open(tmp_path, os.O_RDONLY)
    for depth in range(1, 80):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
        if depth in (5, MAXIMUM_DEPTH, MAXIMUM_DEPTH + 1):
            with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at), "wb") as stream:
                stream.write(data)
    os.close(at)
    (found,) = discover(tmp_path, NAMES)
    assert len(found.slices) == 3


def test_no_descriptor_is_left_open(series, tmp_path):
    series().write(tmp_path / "a" / "b", [0])
    discover(tmp_path, NAMES)
    before = len(list(Path("/proc/self/fd").iterdir()))
    discover(tmp_path, NAMES)

    def stop(files: int) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        discover(tmp_path, NAMES, progress=stop)
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("change", ["gone", "emptied", "replaced", "link", "pipe", "folder"])
def test_files_that_change_while_they_are_found_cost_only_themselves(series, tmp_path, monkeypatch, change):
    victim = series().write(tmp_path / "archive", range(3))[1]
    outside = series(patient_id="outside").write(tmp_path / "outside", [0])[0]
    real = discovery.open_file

    def changing(name, folder):
        if name == victim.name and victim.is_file() and not victim.is_symlink():
            data = victim.read_bytes()
            victim.unlink()
            actions = {
                "gone": lambda: None,
                "emptied": lambda: victim.write_bytes(b""),
                "replaced": lambda: victim.write_bytes(data.replace(b"SIEMENS", b"PHILIPS")),
                "link": lambda: victim.symlink_to(outside),
                "pipe": lambda: os.mkfifo(victim),
                "folder": lambda: victim.mkdir(),
            }
            actions[change]()
        return real(name, folder)

    monkeypatch.setattr(discovery, "open_file", changing)
    index = tmp_path / "index"
    found = discover(tmp_path / "archive", NAMES, index=index)
    readable = [item for item in found if not item.unreadable]
    assert sum(len(item.slices) for item in readable) == (3 if change == "replaced" else 2)
    assert {item.patient for item in readable} == {NAMES.of("patient", PHI_ID, "")}
    # What was found meanwhile is not what a settled archive is believed to hold.
    monkeypatch.setattr(discovery, "open_file", real)
    assert discover(tmp_path / "archive", NAMES, index=index) == discover(tmp_path / "archive", NAMES)


def test_a_folder_swapped_for_a_link_is_not_entered(series, tmp_path):
    series().write(tmp_path / "archive" / "a", [0])
    series(patient_id="second").write(tmp_path / "archive" / "b", [0])
    series(patient_id="outside").write(tmp_path / "outside", [0])

    def swap(files: int) -> None:
        if files == 1:
            shutil.rmtree(tmp_path / "archive" / "b")
            (tmp_path / "archive" / "b").symlink_to(tmp_path / "outside")

    (found,) = discover(tmp_path / "archive", NAMES, progress=swap)
    assert found.patient == NAMES.of("patient", PHI_ID, "")


def test_progress_counts_every_file_seen(series, tmp_path):
    series().write(tmp_path / "a", range(3))
    (tmp_path / "notes.txt").write_text("x")
    seen: list[int] = []
    discover(tmp_path, NAMES, progress=seen.append)
    assert seen == [1, 4]


def test_slow_storage_is_read_by_several_threads_with_the_same_result(series, tmp_path, monkeypatch):
    writer = series()
    writer.write(tmp_path / "a")
    (tmp_path / "a" / "bad").write_bytes((tmp_path / "a" / "o00003").read_bytes()[:150])
    alone = discover(tmp_path, NAMES)
    threads = set()
    real = discovery.open_file

    def noted(name, folder):
        threads.add(threading.get_ident())
        return real(name, folder)

    monkeypatch.setattr(discovery, "open_file", noted)
    waits = itertools.count(0, discovery.PROBED_FILES)
    monkeypatch.setattr(discovery, "_waits", lambda: next(waits))
    assert discover(tmp_path, NAMES, workers=4) == alone
    assert len(threads) > 1
    threads.clear()
    monkeypatch.setattr(discovery, "_waits", lambda: 0)
    assert discover(tmp_path, NAMES, workers=4) == alone
    assert len(threads) == 1, "where nothing waits, threads only cost"


def test_dicomdirs_are_ignored(series, tmp_path):
    samples = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
    shutil.copy(samples / "DICOMDIR", tmp_path / "DICOMDIR")
    with pytest.raises(Refusal) as refusal:
        discover(tmp_path, NAMES)
    assert refusal.value.code is ExitCode.ARCHIVE_EMPTY


def test_missing_folder_and_file_in_its_place_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(Refusal) as refusal:
            discover(path, NAMES)
        assert refusal.value.code is ExitCode.ARCHIVE_UNREADABLE
        assert "\n" not in str(refusal.value)


def test_folder_without_rights_is_refused(series, tmp_path):
    series().write(tmp_path, [0])
    with pytest.raises(Refusal) as refusal:
        discover(tmp_path, NAMES, may_enter=lambda folder: False)
    assert refusal.value.code is ExitCode.ARCHIVE_UNREADABLE


def test_the_operating_system_says_whether_a_folder_may_be_read():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "locked").mkdir(mode=0)
        code = (
            "import os, sys; from pathlib import Path\n"
            "from client.archive.discovery import discover\n"
            "from client.archive.pseudonym import Pseudonyms\n"
            "from common.errors import Refusal\n"
            "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)  # nothing is closed to root\n"
            "try: discover(Path(sys.argv[1]), Pseudonyms(b'k' * 32))\n"
            "except Refusal as refusal: sys.exit(int(refusal.code))\n"
        )
        command = [sys.executable, "-c", code, f"{folder}/locked"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.ARCHIVE_UNREADABLE, done.stderr


def test_folder_with_no_dicom_is_empty(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 400)
    with pytest.raises(Refusal) as refusal:
        discover(tmp_path, NAMES)
    assert refusal.value.code is ExitCode.ARCHIVE_EMPTY


def test_damaged_files_are_one_unreadable_series_per_folder_and_stop_nothing(series, tmp_path, one_file):
    series().write(tmp_path / "good")
    for number in range(3):
        bad = tmp_path / "bad" / f"{number}"
        bad.parent.mkdir(exist_ok=True)
        bad.write_bytes(one_file[: 140 + number])
    found = discover(tmp_path, NAMES)
    assert [item.unreadable for item in found] == [False, True]


def test_files_without_preamble_are_found(one_file, tmp_path):
    (tmp_path / "bare").write_bytes(one_file[132:])
    assert len(discover(tmp_path, NAMES)[0].slices) == 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_transfer_syntaxes_give_the_same_header(series, tmp_path, syntax):
    def swap(dataset, index):
        if syntax is ExplicitVRBigEndian:
            dataset["PixelData"].VR = "OW"

    writer = series(syntax=syntax, edit=swap)
    writer.write(tmp_path, [5])
    header = discover(tmp_path, NAMES)[0].slices[0]
    assert header.position == tuple(writer.origins[5])
    assert header.decodable


def test_deflated_headers_are_read(one_file, tmp_path):
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(one_file))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated", enforce_file_format=True)
    header = discover(tmp_path, NAMES)[0].slices[0]
    assert (header.rows, header.columns, header.decodable) == (dataset.Rows, dataset.Columns, True)


def test_patient_without_identifier_is_known_by_the_study(series, tmp_path):
    for name, study in (("a", "1.2.3"), ("b", "1.2.3"), ("c", "1.2.4")):
        series(patient_id="", study_uid=study).write(tmp_path / name, [0])
    assert len({item.patient for item in discover(tmp_path, NAMES)}) == 2


def test_same_identifier_from_two_issuers_is_two_patients(series, tmp_path):
    for name, issuer in (("a", "north"), ("b", "south")):
        series(tags={"IssuerOfPatientID": issuer}).write(tmp_path / name, [0])
    assert len({item.patient for item in discover(tmp_path, NAMES)}) == 2


def test_nothing_found_shows_an_identifier_or_a_path(series, tmp_path):
    writer = series()
    writer.write(tmp_path / "SECRETNAME", [0])
    shown = repr(discover(tmp_path, NAMES))
    for secret in ("SECRET", "7741", writer.series_uid, writer.study_uid, str(tmp_path)):
        assert secret not in shown


def test_no_warning_or_log_quotes_a_header(series, tmp_path, caplog, capfd):
    """pydicom's own messages quote values that break a format; a name in a UID's place would reach the log."""
    writer = series(study_uid="1.2.3.4.5.6.7.8.9")
    path = writer.write(tmp_path, [0])[0]
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4.5.6.7.8.9", b"SECRET^NAME^MARIA"))
    assert len(discover(tmp_path, NAMES)) == 1
    assert "SECRET" not in caplog.text + "".join(capfd.readouterr())


def test_sample_files_of_pydicom_are_read_or_refused(tmp_path):
    samples = Path(pydicom.__file__).parent / "data" / "test_files"
    found = discover(samples, NAMES)
    assert sum(len(item.slices) for item in found) >= 40
    assert any(item.unreadable for item in found)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_headers_are_read_or_refused(one_file, tmp_path, data):
    mutated = bytearray(one_file[:1400])
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(132, len(mutated) - 1))
        mutated[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated"
    path.write_bytes(bytes(mutated[: data.draw(st.integers(100, len(mutated)))]))
    for found in found_in(tmp_path):
        assert found.unreadable or all(isinstance(header.has_geometry, bool) for header in found.slices)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=600), prefix=st.sampled_from([b"", b"\0" * 128 + b"DICM", b"\x08\x00\x05\x00CS"]))
@example(noise=b"PK\x03\x04", prefix=b"")
@example(noise=b"\0" * 128 + b"DICM", prefix=b"")
def test_noise_is_passed_over_or_refused(tmp_path, noise, prefix):
    """Refused only where it claims to be DICOM, named as packed only where it opens as a packed file does."""
    content = prefix + noise
    (tmp_path / "noise").write_bytes(content)
    found = found_in(tmp_path)
    claims_dicom = content[128:132] == b"DICM"
    opens_as_packed = is_packed(content[:PACKED_BYTES]) and not claims_dicom
    assert [series.packed for series in found if not series.unreadable] == [True] * opens_as_packed
    assert claims_dicom or not any(series.unreadable for series in found)
