"""A real PACS: searched, retrieved, killed, and asked again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless, generate_uid

from client.dicom import Reader, ReadFile
from client.pacs import PacsProgress, PacsSettings, synchronise
from client.pacs.connection import PacsConnection
from client.pacs.store import PacsStore
from common.errors import ExitCode, Refusal
from tests.client.pacs.orthanc import PHI, Orthanc, Sent, contents, file_bytes, image_object, keyed_name

pytestmark = pytest.mark.orthanc

StartOrthanc = Callable[..., Orthanc]
Fill = Callable[..., Sent]


@pytest.fixture
def retrieved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """UIDs of the objects that are asked for."""
    asked: list[str] = []
    retrieve = PacsConnection.retrieve

    def counted(self: PacsConnection, study: str, series: str, instance: str) -> bytes:
        asked.append(instance)
        return retrieve(self, study, series, instance)

    monkeypatch.setattr(PacsConnection, "retrieve", counted)
    return asked


@pytest.fixture
def orthanc(new_orthanc: StartOrthanc) -> Orthanc:
    return new_orthanc()


def _sync(settings: PacsSettings, tmp_path: Path) -> dict[str, bytes]:
    return contents(synchronise(settings, tmp_path / "pacs", keyed_name))


def test_every_object_is_retrieved_once_and_pixels_stay_as_they_were(
    orthanc: Orthanc, fill: Fill, tmp_path: Path, retrieved: list[str]
) -> None:
    fill(orthanc)
    fill(orthanc, 4)
    first = _sync(orthanc.settings(), tmp_path)
    assert len(first) == len(set(retrieved)) == len(retrieved) == 10
    assert len({name.split("/")[0] for name in first}) == 2
    for path in (tmp_path / "pacs" / "archive").rglob("*.dcm"):
        stored = dcmread(path)
        assert (stored.pixel_array == stored.InstanceNumber - 1).all()
        assert path.stat().st_mode & 0o777 == 0o600
    assert _sync(orthanc.settings(), tmp_path) == first
    assert len(retrieved) == 10


def test_nothing_that_names_a_patient_is_stored_or_said(
    orthanc: Orthanc, fill: Fill, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    sent = fill(orthanc, Modality="CT")
    caplog.set_level(0)
    _sync(orthanc.settings(), tmp_path)
    output = capfd.readouterr()
    said = (caplog.text + output.out + output.err).encode()
    written = [path for path in (tmp_path / "pacs").rglob("*") if path.is_file()]
    everything = said + b"".join(str(path.relative_to(tmp_path)).encode() + path.read_bytes() for path in written)
    uids = [sent.series, sent.study, *(dcmread(_file(content, tmp_path)).SOPInstanceUID for content in sent.contents)]
    frame_of_reference = dcmread(_file(sent.contents[0], tmp_path)).FrameOfReferenceUID
    assert len(written) > 6
    assert [value for value in (*PHI.values(), *uids, frame_of_reference) if value.encode() in everything] == []


def test_objects_come_compressed_as_they_are(orthanc: Orthanc, tmp_path: Path) -> None:
    jpeg_ls = image_object(0, generate_uid(), generate_uid())
    jpeg_ls.compress(JPEGLSLossless)
    orthanc.store(file_bytes(jpeg_ls, tmp_path))
    _sync(orthanc.settings(), tmp_path)
    (path,) = (tmp_path / "pacs" / "archive").rglob("*.dcm")
    stored = dcmread(path)
    assert stored.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert stored.PixelData == jpeg_ls.PixelData


def test_the_search_keeps_to_its_settings(orthanc: Orthanc, fill: Fill, tmp_path: Path) -> None:
    fill(orthanc, 1)
    fill(orthanc, 2, BodyPartExamined="SKULL", StudyDate="20210101")
    fill(orthanc, 3, BodyPartExamined="CHEST", SeriesDescription="CHEST")
    fill(orthanc, 4, Modality="MR")

    def found(**search: Any) -> int:
        return len(_sync(orthanc.settings(**search), tmp_path))

    assert found() == 6
    assert found(body_part=["HEAD", "SKULL"]) == 3
    assert found(modality="MR") == 4
    assert found(study_dates=["20200101", "20251231"]) == 2
    assert found(descriptions=["*HEAD*"]) == 3
    assert found(most_series=1) in (1, 2, 3)
    with pytest.raises(Refusal) as caught:
        found(body_part=["HAND"])
    assert caught.value.code is ExitCode.ARCHIVE_EMPTY
    assert len(contents(tmp_path / "pacs" / "archive")) in (1, 2, 3)


def test_many_pages_are_one_search(
    orthanc: Orthanc, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.pacs.search.PAGE", 2)
    for _ in range(5):
        fill(orthanc, 3)
    assert len(_sync(orthanc.settings(), tmp_path)) == 15


def test_what_the_hospital_withdraws_is_removed(orthanc: Orthanc, fill: Fill, tmp_path: Path) -> None:
    kept, withdrawn = fill(orthanc, 2), fill(orthanc, 3)
    assert len(_sync(orthanc.settings(), tmp_path)) == 5
    orthanc.delete_series(withdrawn.series)
    assert len(_sync(orthanc.settings(), tmp_path)) == 2
    orthanc.store(file_bytes(image_object(7, kept.series, kept.study), tmp_path))
    assert len(_sync(orthanc.settings(), tmp_path)) == 3


def test_a_pacs_killed_in_the_middle_and_started_again_costs_nothing(
    orthanc: Orthanc, fill: Fill, tmp_path: Path
) -> None:
    for _ in range(3):
        fill(orthanc, 12)
    undisturbed = contents(synchronise(orthanc.settings(), tmp_path / "undisturbed", keyed_name))
    killed = threading.Event()

    def kill_once(progress: PacsProgress) -> None:
        if progress.objects and not killed.is_set():
            orthanc.kill()
            killed.set()
            restart.start()

    restart = threading.Timer(1.0, orthanc.start)
    disturbed = synchronise(orthanc.settings(connections=2), tmp_path / "pacs", keyed_name, kill_once)
    restart.join()
    assert killed.is_set()
    assert contents(disturbed) == undisturbed
    assert len(undisturbed) == 36


def test_a_site_killed_in_the_middle_asks_for_the_rest_alone(
    orthanc: Orthanc, fill: Fill, tmp_path: Path, retrieved: list[str], killed_sync: Callable[..., int]
) -> None:
    for _ in range(2):
        fill(orthanc, 15)
    undisturbed = contents(synchronise(orthanc.settings(), tmp_path / "undisturbed", keyed_name))
    retrieved.clear()
    kept = killed_sync(orthanc.settings(connections=1), tmp_path / "pacs", after=7)
    assert 7 <= kept < 30
    assert _sync(orthanc.settings(), tmp_path) == undisturbed
    assert len(retrieved) == len(set(retrieved)) == 30 - kept


def test_a_stopped_site_ends_within_seconds(
    orthanc: Orthanc, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(orthanc, 20)
    keep = PacsStore.keep

    def keep_slowly(*arguments: Any) -> None:
        time.sleep(0.1)
        keep(*arguments)

    # Otherwise all may be there before the first look.
    monkeypatch.setattr(PacsStore, "keep", keep_slowly)

    def stop(progress: PacsProgress) -> None:
        if progress.objects:
            raise Refusal(ExitCode.INTERRUPTED, "stopped", where="test", mend="-")

    with pytest.raises(Refusal) as caught:
        synchronise(orthanc.settings(), tmp_path / "pacs", keyed_name, stop)
    assert caught.value.code is ExitCode.INTERRUPTED
    assert contents(tmp_path / "pacs" / "archive") == {}


def test_a_silent_pacs_leaves_the_last_complete_copy(
    orthanc: Orthanc, fill: Fill, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(orthanc, 2)
    settings = orthanc.settings(patience_seconds=0.5)
    first = _sync(settings, tmp_path)
    orthanc.kill()
    caplog.clear()
    assert _sync(settings, tmp_path) == first
    assert len([record for record in caplog.records if record.name.startswith("tomoray")]) == 1
    assert "going on with" in caplog.text
    for folder, changed in (("other", settings), ("pacs", settings.model_copy(update={"modality": "MR"}))):
        with pytest.raises(Refusal) as caught:
            synchronise(changed, tmp_path / folder, keyed_name)
        assert caught.value.code is ExitCode.PACS_UNREACHABLE


def test_a_full_disk_is_named_and_what_is_whole_stays(
    orthanc: Orthanc, fill: Fill, small_disk: Path, tmp_path: Path, retrieved: list[str]
) -> None:
    for _ in range(2):
        fill(orthanc, 8, Rows=128, Columns=128, PixelData=bytes(2 * 128 * 128))
    with pytest.raises(Refusal) as caught:
        synchronise(orthanc.settings(), small_disk / "pacs", keyed_name)
    assert caught.value.code is ExitCode.DISK_FULL
    undisturbed = contents(synchronise(orthanc.settings(), tmp_path / "undisturbed", keyed_name))
    kept = contents(small_disk / "pacs" / "archive") | contents(small_disk / "pacs" / "incoming")
    assert 0 < len(kept) < 16
    assert kept.items() <= undisturbed.items()
    assert contents(small_disk / "pacs" / "temporary") == {}


def test_what_was_retrieved_reads_as_the_original_does(orthanc: Orthanc, fill: Fill, tmp_path: Path) -> None:
    sent = fill(orthanc, 3)
    originals = [tmp_path / f"original{index}" for index in range(3)]
    for path, content in zip(originals, sent.contents, strict=True):
        path.write_bytes(content)
    _sync(orthanc.settings(), tmp_path)
    with Reader() as reader:
        first = [answer.images[0] for answer in reader.headers(originals) if isinstance(answer, ReadFile)]
        copies = reader.headers(sorted((tmp_path / "pacs" / "archive").rglob("*.dcm")))
        second = [answer.images[0] for answer in copies if isinstance(answer, ReadFile)]
    assert sorted(map(repr, first)) == sorted(map(repr, second))
    assert {image.patient_id for image in second} == {keyed_name("pacs patient", PHI["PatientID"], "SECRET-ISSUER")}


def _file(content: bytes, folder: Path) -> Path:
    path = folder / "read-again"
    path.write_bytes(content)
    return path
