"""The main job on one machine: four virtual hospitals and a coordinator, as the real commands on loopback.

Nothing here takes a shortcut: the demo writes settings files, then runs ``tomoray-site`` and ``tomoray-coordinator`` as
a site engineer and a coordinator would, each a process of its own.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.console import Console

from common.errors import ExitCode, Refusal
from common.files import disk_refusals, make_folder, write_atomic
from common.processes import failure, start_child, stop_children
from common.progress import ProgressFile
from common.roles import Role
from common.study import Study
from server.coordinator import RunView
from server.demo.demo_figures import demo_figures, show_figures
from server.demo.memory import PeakMemory

MARKER = ".tomoray-demo"
STOP_S = 6.0
POLL_S = 0.3
WRITERS = 2


@final
@dataclass(frozen=True)
class VirtualHospital:
    """One hospital of the demo: its scanner, its patients, its role."""

    name: str
    role: Role
    style: str
    patients: int
    seed: int


HOSPITALS = (
    VirtualHospital("north", Role.TRAIN, "toshiba", 16, 101),
    VirtualHospital("east", Role.TRAIN, "ge-hispeed", 16, 202),
    VirtualHospital("south", Role.TRAIN, "siemens", 16, 303),
    VirtualHospital("west", Role.EVALUATE, "picker-rt", 8, 404),
)


@final
@dataclass(frozen=True)
class DemoPlan:
    """What the demo runs.

    Attributes:
        study: the study file.
        output: the run's folder; replaced where it holds an earlier demo.
        ct: folder with real head CTs, or None for procedural heads.
        heads: with ``ct``, file prefixes of the heads of the hospitals in order.
        port: loopback port, or 0 for a free one.
        patients: virtual patients of every hospital, or None for each hospital's own number.
    """

    study: Path
    output: Path
    ct: Path | None
    heads: tuple[str, ...]
    port: int
    patients: int | None = None


@final
class Demo:
    """Runs a plan.

    Args:
        plan: what to run.
        stop: ends everything within seconds once it is set.
    """

    def __init__(self, plan: DemoPlan, stop: threading.Event) -> None:
        self._plan = plan
        self._stop = stop
        self._console = Console()
        self._memory = PeakMemory()
        self._root = plan.output.resolve()

    def run(self) -> None:
        """Everything from empty folders to the report.

        Raises:
            Refusal: what any of the commands refused; ``INTERRUPTED`` where ``stop`` was set.
        """
        started = time.monotonic()
        study = Study.from_toml(self._plan.study)
        self._check_heads()
        self._clear()
        self._write_archives()
        self._write_settings()
        self._federate()
        seconds, real = time.monotonic() - started, self._plan.ct is not None
        figures = demo_figures(self._root, study, seconds, self._memory.peak_bytes, real_heads=real)
        write_atomic(self._root / "demo.json", figures.model_dump_json(indent=1).encode(), mode=0o644)
        show_figures(figures, self._console)
        pages = [self._site(hospital) / "state" / "cases.html" for hospital in HOSPITALS]
        for hospital, page in zip(HOSPITALS, pages, strict=True):
            if page.exists():
                self._say(f"cases at {hospital.name}, for that site only: {page}")
        self._say(f"report: {self._root / 'report.html'}")

    def _check_heads(self) -> None:
        if self._plan.ct is not None and len(self._plan.heads) != len(HOSPITALS):
            what = f"{len(self._plan.heads)} heads for {len(HOSPITALS)} hospitals"
            mend = "name one prefix for each hospital, separated by commas"
            raise Refusal(ExitCode.SETTINGS_INVALID, what, where="--heads", mend=mend)

    def _clear(self) -> None:
        if self._root.exists() and any(self._root.iterdir()):
            if not (self._root / MARKER).exists():
                mend = "name an empty folder with --output"
                what = "folder holds something else than a demo"
                raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(self._root), mend=mend)
            with disk_refusals(self._root):
                shutil.rmtree(self._root)
        make_folder(self._root, mode=0o755)
        write_atomic(self._root / MARKER, b"")

    def _write_archives(self) -> None:
        self._say("writing virtual archives as DICOM")
        heads = self._plan.heads if self._plan.ct else [""] * len(HOSPITALS)
        waiting = [self._archive_command(*pair) for pair in zip(HOSPITALS, heads, strict=True)]
        running: list[tuple[subprocess.Popen[bytes], Path]] = []
        try:
            while waiting or running:
                while waiting and len(running) < WRITERS:
                    command, log = waiting.pop(0)
                    running.append((start_child(command, log), log))
                self._pause()
                for child, log in [pair for pair in running if pair[0].poll() is not None]:
                    _check(child, log)
                    running.remove((child, log))
        finally:
            stop_children([child for child, _ in running], STOP_S)

    def _archive_command(self, hospital: VirtualHospital, head: str) -> tuple[list[str], Path]:
        folder = make_folder(self._site(hospital))
        patients = self._plan.patients or hospital.patients
        options = {"--patients": patients, "--style": hospital.style, "--seed": hospital.seed}
        command = [*_command("tomoray-site"), "virtual-archive", str(folder / "archive")]
        command += [str(word) for option in options.items() for word in option]
        if self._plan.ct is not None:
            command += ["--head", str(self._plan.ct.resolve()), "--head-id", head]
        return command, folder / "archive.log"

    def _write_settings(self) -> None:
        port = self._plan.port or _free_port()
        for hospital in HOSPITALS:
            folder = self._site(hospital)
            self._run_to_end([*_command("tomoray-site"), "init", str(folder)], folder / "init.log")
            write_atomic(folder / "site.toml", self._site_toml(hospital, port).encode())
            admit = ["admit", hospital.name, hospital.role.value, str(folder / "site.pub")]
            command = [*_command("tomoray-coordinator"), *admit, "--admissions", str(self._root / "sites.toml")]
            self._run_to_end(command, self._root / "admit.log")
        write_atomic(self._root / "coordinator.toml", self._coordinator_toml(port).encode())

    def _site_toml(self, hospital: VirtualHospital, port: int) -> str:
        # The sites share one machine: each builds its cohort in its own process.
        return (
            f'name = "{hospital.name}"\nrole = "{hospital.role.value}"\narchive = "archive"\nstate = "state"\n'
            "workers = 1\n"
            f"studies = [{_quoted(self._plan.study.resolve())}]\n\n[coordinator]\n"
            f'address = "127.0.0.1:{port}"\n'
            f"ca_certificate = {_quoted(self._root / 'coordinator' / 'certificates' / 'ca.crt')}\n"
            'private_key = "site.key"\n'
        )

    def _coordinator_toml(self, port: int) -> str:
        study = _quoted(self._plan.study.resolve())
        return f'study = {study}\nrun = "."\nadmissions = "sites.toml"\nstate = "coordinator"\nport = {port}\n'

    def _federate(self) -> None:
        """The coordinator first: it makes the certificate that sites verify it by."""
        command = [*_command("tomoray-coordinator"), "start", "--settings", str(self._root / "coordinator.toml")]
        log = self._root / "coordinator.log"
        coordinator = start_child(command, log)
        sites: list[tuple[subprocess.Popen[bytes], Path]] = []
        try:
            self._await_certificate(coordinator, log)
            for hospital in HOSPITALS:
                folder = self._site(hospital)
                command = [*_command("tomoray-site"), "start", "--settings", str(folder / "site.toml")]
                sites.append((start_child(command, folder / "site.log"), folder / "site.log"))
            self._watch(coordinator, sites)
            _check(coordinator, log)
        finally:
            stop_children([coordinator, *(child for child, _ in sites)], STOP_S)

    def _await_certificate(self, coordinator: subprocess.Popen[bytes], log: Path) -> None:
        while not (self._root / "coordinator" / "certificates" / "ca.crt").exists():
            self._pause()
            if coordinator.poll() is not None:
                _check(coordinator, log)

    def _watch(self, coordinator: subprocess.Popen[bytes], sites: list[tuple[subprocess.Popen[bytes], Path]]) -> None:
        progress = {hospital.name: ProgressFile(self._site(hospital) / "state") for hospital in HOSPITALS}
        with RunView(self._root / "events.jsonl", progress, console=self._console) as view:
            while coordinator.poll() is None:
                view.refresh()
                self._pause()
                for child, log in sites:
                    if child.poll() is not None:
                        _check(child, log)
            view.refresh()

    def _run_to_end(self, command: list[str], log: Path) -> None:
        child = start_child(command, log)
        try:
            while child.poll() is None:
                self._pause()
        finally:
            stop_children([child], STOP_S)
        _check(child, log)

    def _pause(self) -> None:
        self._memory.sample()
        if self._stop.wait(POLL_S):
            raise Refusal(ExitCode.INTERRUPTED, "stopped", where="demo", mend="start it again")

    def _site(self, hospital: VirtualHospital) -> Path:
        return self._root / "sites" / hospital.name

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _check(child: subprocess.Popen[bytes], log: Path) -> None:
    """Raise what a finished command refused."""
    status = child.wait()
    if status != ExitCode.OK:
        raise failure(status, log)


def _command(name: str) -> list[str]:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        mend = "install the distribution into this environment"
        raise Refusal(ExitCode.CHILD_FAILED, "command not found", where=name, mend=mend)
    return [found]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quoted(path: Path) -> str:
    """A TOML basic string."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
