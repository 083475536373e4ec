"""The main job as real processes: the demo's own commands, interrupted, resumed, killed, and run to the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pydicom
import pytest

from client.gate import Ledger, verify_state
from common.errors import ExitCode
from server.rounds import Outcome, RunDirectory

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

BIN = Path(sys.executable).parent
SITES = ("east", "north", "south", "west")
STOP_S = 10.0
# In the environment of every process, which its children inherit.
MARK = "TOMORAY_TEST_FOLDER"


def _ours(folder: Path) -> list[psutil.Process]:
    """Processes that these tests started, and all that those started, whether or not a parent lives."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == str(folder)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
        if marked:
            found.append(process)
    return found


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        time.sleep(0.2)


def _events(run: Path, kind: str) -> list[dict[str, object]]:
    path = run / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Holds the study and, once the first test ran, an interrupted demo in ``demo``."""
    folder = tmp_path_factory.mktemp("main-job")
    yield folder
    for process in _ours(folder):
        process.kill()


@pytest.fixture(scope="module")
def study_path(folder: Path, small_study: str) -> Path:
    path = folder / "small.toml"
    path.write_text(small_study)
    return path


def _demo(folder: Path, study_path: Path) -> subprocess.Popen[bytes]:
    options = ["--study", study_path, "--output", folder / "demo", "--patients", "3"]
    return _start(folder, "demo.log", BIN / "tomoray-coordinator", "demo", *options)


def _start(folder: Path, log: str, *command: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {MARK: str(folder)}
    with (folder / log).open("ab") as output:
        return subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, env=environment)


def test_ctrl_c_in_mid_round_stops_everything_within_ten_seconds(folder: Path, study_path: Path) -> None:
    demo = _demo(folder, study_path)
    _until(lambda: bool(_events(folder / "demo", "trained")) or demo.poll() is not None, 300, "training")
    assert demo.poll() is None, (folder / "demo.log").read_text()
    demo.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert demo.wait(STOP_S) == int(ExitCode.INTERRUPTED)
    assert _ours(folder) == []
    assert time.monotonic() - started < STOP_S


def test_the_interrupted_run_resumes_through_kills_of_every_kind_of_process(folder: Path) -> None:
    """Site, round loop and SuperLink are killed in turn; the run ends with every round recorded once."""
    demo = folder / "demo"
    before = len(list(RunDirectory(demo).rounds()))
    processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str) -> None:
        program, settings = (
            ("tomoray-coordinator", demo / "coordinator.toml")
            if name == "coordinator"
            else ("tomoray-site", demo / "sites" / name / "site.toml")
        )
        processes[name] = _start(folder, f"{name}.log", BIN / program, "start", "--settings", settings)

    try:
        for name in ("coordinator", *SITES):
            start(name)
        _until(lambda: len(list(RunDirectory(demo).rounds())) > before, 240, "round after the resume")
        _kill(folder, "server.coordinator.round_process")
        processes["east"].kill()
        processes["east"].wait()
        start("east")
        rounds = len(list(RunDirectory(demo).rounds()))
        _until(lambda: len(list(RunDirectory(demo).rounds())) > rounds, 240, "round after the kills")
        _kill(folder, "superlink_entry.py")
        assert processes["coordinator"].wait(300) == 0, (folder / "coordinator.log").read_text()
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(STOP_S) for name, process in processes.items()}
    assert {codes[name] for name in SITES} == {0}
    recorded = [record.round for record in RunDirectory(demo).rounds() if record.aggregated]
    assert recorded == [1, 2, 3, 4, 5, 6]


def _kill(folder: Path, words: str) -> None:
    victims = [process for process in _ours(folder) if words in " ".join(process.cmdline())]
    assert victims, words
    for process in victims:
        process.kill()


def test_the_held_out_hospital_never_trained_and_every_ledger_verifies(folder: Path) -> None:
    demo = folder / "demo"
    for name in SITES:
        ledger = demo / "sites" / name / "state" / "ledger"
        summary = verify_state(ledger)
        assert summary.unsigned == 0
        assert summary.witnessed > 0
        entries = list(Ledger.opened(ledger).entries())
        kinds = {entry.kind for entry in entries if entry.event == "reply"}
        assert kinds == ({"query", "evaluate"} if name == "west" else {"query", "evaluate", "train"})
        sent = {record.name for entry in entries for record in entry.records if entry.event == "reply"}
        assert sent == ({"header"} if name == "west" else {"header", "generator", "discriminator"})
    for record in RunDirectory(demo).rounds():
        assert "west" not in {entry.site for entry in record.training}
        assert {e.site for e in record.evaluation if e.outcome is Outcome.ACCEPTED} >= {"west"}


def test_the_report_holds_the_figures_and_no_image(folder: Path) -> None:
    demo = folder / "demo"
    page = (demo / "report.html").read_text()
    document = json.loads((demo / "report.json").read_text())
    assert "west" in page
    assert "−1000" in page
    assert RunDirectory(demo).run_record().study_sha256 in page
    assert not any(word in page for word in ("<img", "data:image", "<canvas", "http://", "https://"))
    assert document


def test_no_image_and_no_name_is_anywhere_at_the_coordinator(folder: Path) -> None:
    """What the coordinator holds is text, weights and its own keys; no virtual patient's name or id is in it."""
    demo = folder / "demo"
    allowed = {
        ".json",
        ".jsonl",
        ".toml",
        ".html",
        ".safetensors",
        ".log",
        ".crt",
        ".key",
        ".pub",
        ".db",
        ".secret",
        "",
    }
    for path in demo.rglob("*"):
        if path.is_file() and "sites" not in path.relative_to(demo).parts:
            assert path.suffix in allowed | {".db-wal", ".db-shm"}, path
            assert b"VIRTUAL^" not in path.read_bytes(), path


def test_patients_pages_are_private_to_the_site(folder: Path) -> None:
    page = folder / "demo" / "sites" / "west" / "state" / "cases.html"
    assert page.stat().st_mode & 0o077 == 0
    assert "data:image" in page.read_text()


def test_a_researcher_at_a_site_gets_synthetic_ct_as_dicom(folder: Path, study_path: Path) -> None:
    demo = folder / "demo"
    weights = next((demo / "checkpoints").glob("round-000006/generator.safetensors"))
    options = ["--study", study_path, "--weights", weights, "--output", folder / "synthetic", "--cases", "1"]
    settings = demo / "sites" / "west" / "site.toml"
    done = _start(folder, "synthesize.log", BIN / "tomoray-site", "synthesize-cohort", "--settings", settings, *options)
    assert done.wait(120) == 0, (folder / "synthesize.log").read_text()
    slices = [pydicom.dcmread(path) for path in sorted((folder / "synthetic").rglob("*.dcm"))]
    assert len(slices) == 32
    assert {str(dataset.ImageType[0]) for dataset in slices} == {"DERIVED"}
    assert all("RESEARCH" in str(dataset.SeriesDescription).upper() for dataset in slices)


def test_a_release_of_the_run_is_verified_and_used_at_a_site(folder: Path, study_path: Path) -> None:
    demo, place, log = folder / "demo", folder / "released", folder / "release.log"
    settings = demo / "sites" / "west" / "site.toml"

    def end(name: str, *arguments: object) -> int:
        return _start(folder, log.name, BIN / name, *arguments).wait(120)

    coordinator = ("--settings", demo / "coordinator.toml")
    assert end("tomoray-coordinator", "release", demo, "--out", place, *coordinator) == 0, log.read_text()
    log.unlink()
    # The key that the site pinned for requests is the one of releases.
    assert end("tomoray-coordinator", "release-key", *coordinator) == 0
    assert log.read_text().splitlines()[0] in settings.read_text()
    assert end("tomoray-site", "release", "verify", place, "--settings", settings, "--study", study_path) == 0
    assert "release intact: study small" in log.read_text()
    output = ("--output", folder / "from-release", "--cases", "1")
    options = ("--settings", settings, "--study", study_path, "--release", place)
    assert end("tomoray-site", "synthesize-cohort", *options, *output) == 0, log.read_text()
    slices = [pydicom.dcmread(path) for path in sorted((folder / "from-release").rglob("*.dcm"))]
    assert len(slices) == 32
    assert all("released from round 6" in str(dataset.DerivationDescription) for dataset in slices)
    page = place / "card.html"
    page.write_text(page.read_text() + " ")
    assert end("tomoray-site", "release", "verify", place, "--settings", settings) == int(ExitCode.RELEASE_DAMAGED)


def test_a_second_demo_works_in_the_same_place(folder: Path, study_path: Path) -> None:
    study_path.write_text(study_path.read_text().replace("rounds = 6", "rounds = 1"))
    demo = _demo(folder, study_path)
    assert demo.wait(400) == 0, (folder / "demo.log").read_text()
    assert _ours(folder) == []
    figures = json.loads((folder / "demo" / "demo.json").read_text())
    assert figures["rounds"] == 1
    assert figures["held_out"] == "west"
