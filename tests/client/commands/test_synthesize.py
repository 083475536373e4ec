"""Two films and a release in; a marked series, or one line with its exit code and nothing written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from common.errors import ExitCode
from common.study import Study
from tests.client.commands.released import Desk, desk_of
from tests.client.pacs.hostile import JSON, Answer, HostileServer
from tests.client.radiographs.films import SIZE, FilmWriter, frontal, head_integrals, lateral
from tests.common.release.releases import RELEASE_TROUBLES
from tests.conftest import SMALL

READING = SMALL.replace("[federation]", "variance = true\n[optimisation]\nlikelihood_weight = 0.1\n[federation]")
AS_SAID = ("--no-refine-pose",)
FILES = {
    *("ct", "synthetic-ct.nii.gz", "uncertainty.dcm", "uncertainty.nii.gz", "synthesis.json"),
    *("reprojection-frontal.png", "reprojection-lateral.png"),
}


@pytest.fixture(scope="session")
def reading_study() -> Study:
    """The small study with a predicted variance."""
    return Study.from_text(READING, where="test")


@pytest.fixture
def desk(tmp_path: Path, reading_study: Study) -> Desk:
    return desk_of(tmp_path, reading_study)


def left(desk: Desk) -> set[str]:
    return {path.name for path in desk.folder.iterdir()} - {"release", "release.pub", "a.dcm", "b.dcm", "films"}


def test_two_films_become_a_series_with_all_that_belongs_to_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = desk.pair
    assert desk.end(monkeypatch, second, first) == 0
    printed = capsys.readouterr().out
    assert f"frontal: {first} (by its attributes" in printed
    assert f"lateral: {second} (by its attributes" in printed
    assert "SYNTHETIC – RESEARCH USE ONLY" in printed
    assert {path.name for path in desk.out.iterdir()} == FILES
    slices = [pydicom.dcmread(path) for path in (desk.out / "ct").iterdir()]
    assert len(slices) == 32
    assert {dataset.PatientID for dataset in slices} == {"SECRET-7741"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (desk.out, *desk.out.rglob("*")))
    record = json.loads((desk.out / "synthesis.json").read_text())
    assert record["films"][0]["pose"]["likeness"] > 0.9
    assert "SECRET" not in (desk.out / "synthesis.json").read_text() + printed
    assert left(desk) == {"out"}


def test_one_folder_with_both_films_is_enough_and_what_is_no_film_is_set_aside(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.film("films/2", frontal(drop=("ViewPosition", "ViewCodeSequence")))
    desk.film("films/1", lateral())
    (desk.folder / "films" / "notes.txt").write_text("not an image")
    assert desk.end(monkeypatch, desk.folder / "films", options=AS_SAID) == 0
    printed = capsys.readouterr().out
    assert "frontal: file 2 of 3" in printed and "(by what it shows)" in printed
    assert "set aside: 1 other" in printed
    assert json.loads((desk.out / "synthesis.json").read_text())["films"][0]["pose"] == "nominal"


def another(make: Callable[..., FilmWriter], **tags: Any) -> FilmWriter:
    return make(tags=tags)


def hand() -> FilmWriter:
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    fingers = sum(0.6 * ((abs(x - 40 - 22 * k) < 7) & (y < 110) & (y > 20 + 8 * abs(k - 2))) for k in range(5))
    return FilmWriter((fingers + 0.8 * ((y >= 110) & (y < 165) & (x > 30) & (x < 140))).astype(np.float32))


TROUBLES: dict[str, tuple[Callable[[], FilmWriter], Callable[[], FilmWriter], ExitCode]] = {
    "row 20: a hand": (hand, lateral, ExitCode.NOT_A_HEAD),
    "row 21: frontal twice": (frontal, lambda: FilmWriter(head_integrals(5)[0]), ExitCode.PAIR_ONE_VIEW),
    "row 21: lateral twice": (lateral, lambda: FilmWriter(head_integrals(5)[1], lateral=True), ExitCode.PAIR_ONE_VIEW),
    "row 21: a copy under another UID": (lateral, lateral, ExitCode.PAIR_SAME_IMAGE),
    "row 22: two patients": (frontal, lambda: another(lateral, PatientID="OTHER-12"), ExitCode.PAIR_OTHER_PATIENT),
    "row 23: a week apart": (frontal, lambda: another(lateral, AcquisitionDate="20260308"), ExitCode.PAIR_TOO_FAR),
    "a film without spacing": (frontal, lambda: lateral(drop=("ImagerPixelSpacing",)), ExitCode.FILM_UNUSABLE),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_films_that_cannot_be_used_are_refused_in_one_line_and_nothing_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    first, second, code = TROUBLES[trouble]
    films = desk.film("a.dcm", first()), desk.film("b.dcm", second())
    assert desk.end(monkeypatch, *films) == code
    assert_refused(capsys.readouterr().err)
    assert left(desk) == set()


def assert_refused(error: str) -> None:
    assert error.startswith("tomoray-site: ")
    assert error.count("\n") == 1
    assert "SECRET" not in error


def test_row_21_one_file_named_twice_is_the_same_image(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = desk.pair
    assert desk.end(monkeypatch, first, first) == ExitCode.PAIR_SAME_IMAGE
    assert_refused(capsys.readouterr().err)
    assert left(desk) == set()


def test_a_folder_without_a_second_view_says_why_the_others_were_not_used(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.film("films/1", frontal())
    desk.film("films/2", lateral(drop=("ImagerPixelSpacing",)))
    assert desk.end(monkeypatch, desk.folder / "films") == ExitCode.PAIR_ONE_VIEW
    error = capsys.readouterr().err
    assert_refused(error)
    assert "neither Imager Pixel Spacing nor Pixel Spacing is stated" in error


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("another key", ExitCode.RELEASE_NOT_SIGNED),
        ("no key", ExitCode.USAGE),
        *RELEASE_TROUBLES.items(),
    ],
)
def test_row_35_a_release_that_does_not_verify_is_never_used(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trouble: str, code: ExitCode
) -> None:
    if trouble == "another key":
        (desk.folder / "other").mkdir()
        other = desk_of(desk.folder / "other", desk.signed.card.study)
        (desk.folder / "release.pub").write_bytes((other.folder / "release.pub").read_bytes())
    elif trouble == "no key":
        arguments = [
            part for part in desk.arguments(*desk.pair) if part not in {"--key", str(desk.folder / "release.pub")}
        ]
        monkeypatch.chdir(desk.folder)
        monkeypatch.setattr(Desk, "arguments", lambda *_args, **_options: arguments)
    else:
        desk.signed.spoil(trouble)
    assert desk.end(monkeypatch, *desk.pair) == code
    assert_refused(capsys.readouterr().err)
    assert left(desk) <= {"other"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pixel_mm = 7.0", "pixel_mm = 6.0"),
        ("[networks.generator]", "[radiograph]\nspectrum = {kvp = 75}\n[networks.generator]"),
    ],
    ids=["geometry", "spectrum"],
)
def test_row_35_a_release_of_another_study_than_asked_for_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    assert old in READING
    (desk.folder / "films").mkdir()
    (desk.folder / "films" / "asked.toml").write_text(READING.replace(old, new))
    options = ("--study", desk.folder / "films" / "asked.toml")
    assert desk.end(monkeypatch, *desk.pair, options=options) == ExitCode.RELEASE_OF_ANOTHER_STUDY
    assert_refused(capsys.readouterr().err)
    assert left(desk) == set()


def test_row_35_a_release_whose_network_sees_other_films_is_refused(
    tmp_path: Path,
    reading_study: Study,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    desk = desk_of(tmp_path, reading_study, reprojection_limit=1e-4)
    assert desk.end(monkeypatch, *desk.pair, options=AS_SAID) == ExitCode.OUT_OF_DISTRIBUTION
    error = capsys.readouterr().err
    assert_refused(error)
    assert "0.000 is allowed" in error
    assert left(desk) == set()
    (tmp_path / "wide").mkdir()
    wide = desk_of(tmp_path / "wide", reading_study, reprojection_limit=50.0)
    assert wide.end(monkeypatch, *wide.pair, options=AS_SAID) == 0
    assert "the release allows 50.000" in capsys.readouterr().out


def test_row_36_a_folder_that_holds_anything_is_left_as_it_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.out.mkdir()
    (desk.out / "mine").write_text("kept")
    assert desk.end(monkeypatch, *desk.pair) == ExitCode.USAGE
    assert_refused(capsys.readouterr().err)
    assert {path.name: path.read_text() for path in desk.out.iterdir()} == {"mine": "kept"}
    (desk.out / "mine").unlink()
    assert desk.end(monkeypatch, *desk.pair, options=AS_SAID) == 0
    assert {path.name for path in desk.out.iterdir()} == FILES


@pytest.mark.parametrize("small_disk", [64], indirect=True)
def test_row_36_a_full_disk_leaves_nothing(
    desk: Desk, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Desk, "out", small_disk / "out")
    assert desk.end(monkeypatch, *desk.pair, options=AS_SAID) == ExitCode.DISK_FULL
    assert_refused(capsys.readouterr().err)
    assert list(small_disk.iterdir()) == []


KILLED = """
import os, signal, sys
import client.synthesis.synthetic_ct as place
from client.cli import main

write, left = place.write_atomic, [5]


def write_and_die(path, data):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    write(path, data)


place.write_atomic = write_and_die
main()
"""


def test_row_36_killed_midway_there_is_no_folder_and_the_next_start_takes_its_rest_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = desk.pair
    command = [sys.executable, "-c", KILLED, *desk.arguments(*films, options=AS_SAID)]
    done = subprocess.run(command, check=False, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert not desk.out.exists()
    assert left(desk) == {".out.tmp"}
    assert desk.end(monkeypatch, *films, options=AS_SAID) == 0
    assert left(desk) == {"out"}


SETTINGS = """
name = "west"
role = "evaluate"
archive = "archive"
state = "state"
studies = ["small.toml"]
[coordinator]
address = "127.0.0.1:1"
ca_certificate = "ca.crt"
private_key = "site.key"
release_key = "{key}"
[destinations.reading-room]
url = "{url}"
"""


@pytest.fixture
def reading_room(desk: Desk) -> Iterator[HostileServer]:
    """A server that takes all that comes, named in the settings that lie where the person works."""
    server = HostileServer(lambda _path, _headers: Answer(200, json.dumps(ALL_TAKEN).encode(), JSON))
    key = desk.signed.key.openssh
    (desk.folder / "site.toml").write_text(SETTINGS.format(key=key, url=server.root))
    yield server
    server.close()


ALL_TAKEN = {"00081199": {"vr": "SQ", "Value": [{}] * 33}}


def test_what_was_written_is_sent_to_a_destination_of_the_settings_alone(
    desk: Desk, reading_room: HostileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    films = desk.pair
    monkeypatch.chdir(desk.folder)
    known = ("--model", desk.signed.folder, "--out", desk.out, *AS_SAID)
    arguments = [str(part) for part in ("synthesize", *films, *known, "--send")]
    monkeypatch.setattr(Desk, "arguments", lambda *_args, **_options: [*arguments, reading_room.root])
    assert desk.end(monkeypatch) == ExitCode.SETTINGS_INVALID
    assert_refused(capsys.readouterr().err)
    assert left(desk) == {"site.toml"}
    monkeypatch.setattr(Desk, "arguments", lambda *_args, **_options: [*arguments, "reading-room"])
    assert desk.end(monkeypatch) == 0
    assert "sent: 33 objects to reading-room" in capsys.readouterr().out
    (body,) = reading_room.received
    assert all(path.read_bytes() in body for path in desk.out.rglob("*.dcm"))


def test_without_settings_there_is_no_destination(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.end(monkeypatch, *desk.pair, options=("--send", "reading-room")) == ExitCode.USAGE
    assert_refused(capsys.readouterr().err)
    assert left(desk) == set()
