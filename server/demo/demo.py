"""The main job on one machine: four virtual hospitals and a coordinator, as the real commands on loopback.

Nothing here takes a shortcut: the demo writes settings files, then runs ``tomoray-site`` and ``tomoray-coordinator`` as
a site engineer and a coordinator would, each a process of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import final

from rich.console import Console

from common.documents import write_document
from common.errors import ExitCode, Refusal
from common.files import disk_refusals, make_folder, write_atomic
from common.processes import failure, start_child, stop_children
from common.progress import ProgressFile
from common.study import Study
from server.coordinator import RunView
from server.demo.demo_figures import DemoFigures, demo_figures, show_figures
from server.demo.hospitals import DemoPlan, VirtualHospital
from server.demo.memory import PeakMemory
from server.demo.settings_files import STATE, coordinator_file, free_port, site_file

MARKER = ".tomoray-demo"
STOP_S = 6.0
POLL_S = 0.3
WRITERS = 2


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

    def run(self) -> DemoFigures:
        """Everything from empty folders to the report.

        Raises:
            Refusal: what any of the commands refused; ``INTERRUPTED`` where ``stop`` was set.
        """
        started = time.monotonic()
        study = Study.from_toml(self._plan.study)
        self._check_heads()
        self._clear()
        if self._plan.archives is None:
            self._write_archives()
        self._write_settings()
        self._federate()
        seconds, real = time.monotonic() - started, self._plan.ct is not None
        figures = demo_figures(self._root, study, seconds, self._memory.peak_bytes, real_heads=real)
        write_atomic(self._root / "demo.json", figures.model_dump_json(indent=1).encode(), mode=0o644)
        show_figures(figures, self._console)
        pages = [self._kept(hospital) / "state" / "cases.html" for hospital in self._plan.hospitals]
        for hospital, page in zip(self._plan.hospitals, pages, strict=True):
            if page.exists():
                self._say(f"cases at {hospital.name}, for that site only: {page}")
        self._say(f"report: {self._root / 'report.html'}")
        return figures

    def _check_heads(self) -> None:
        if self._plan.ct is not None and len(self._plan.heads) != len(self._plan.hospitals):
            what = f"{len(self._plan.heads)} heads for {len(self._plan.hospitals)} hospitals"
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
        heads = self._plan.heads if self._plan.ct else [""] * len(self._plan.hospitals)
        waiting = [self._archive_command(*pair) for pair in zip(self._plan.hospitals, heads, strict=True)]
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
        # Archives of a chosen size are for a quick look: they hold sound series alone.
        faults = () if self._plan.patients else hospital.faults
        patients = (self._plan.patients or hospital.patients) + len(faults)
        options = {"--patients": patients, "--style": hospital.style, "--seed": hospital.seed}
        command = [*_command("tomoray-site"), "virtual-archive", str(folder / "archive")]
        command += [str(word) for option in options.items() for word in option]
        command += ["--films"] if self._plan.films else []
        command += [word for fault in faults for word in ("--fault", fault)]
        if self._plan.ct is not None:
            command += ["--head", str(self._plan.ct.resolve()), "--head-id", head]
        return command, folder / "archive.log"

    def _write_settings(self) -> None:
        port, study = self._plan.port or free_port(), self._plan.study.resolve()
        write_document(coordinator_file(study, port), self._root / "coordinator.toml")
        show_key = ["release-key", "--settings", str(self._root / "coordinator.toml")]
        self._run_to_end([*_command("tomoray-coordinator"), *show_key], self._root / "release-key.log")
        key = (self._root / STATE / "release" / "release.pub").read_text(encoding="ascii").strip()
        for hospital in self._plan.hospitals:
            folder = make_folder(self._site(hospital))
            self._run_to_end([*_command("tomoray-site"), "init", str(folder)], folder / "init.log")
            kept = Path() if self._plan.archives is None else self._kept(hospital)
            made = site_file(hospital, study, self._certificate, key, port, kept)
            write_document(made, folder / "site.toml")
            admit = ["admit", hospital.name, hospital.role.value, str(folder / "site.pub")]
            command = [*_command("tomoray-coordinator"), *admit, "--admissions", str(self._root / "sites.toml")]
            self._run_to_end(command, self._root / "admit.log")

    def _federate(self) -> None:
        """The coordinator first: it makes the certificate that sites verify it by."""
        command = [*_command("tomoray-coordinator"), "start", "--settings", str(self._root / "coordinator.toml")]
        log = self._root / "coordinator.log"
        coordinator = start_child(command, log)
        sites: list[tuple[subprocess.Popen[bytes], Path]] = []
        try:
            self._await_certificate(coordinator, log)
            for hospital in self._plan.hospitals:
                folder = self._site(hospital)
                command = [*_command("tomoray-site"), "start", "--settings", str(folder / "site.toml")]
                sites.append((start_child(command, folder / "site.log"), folder / "site.log"))
            self._watch(coordinator, sites)
            _check(coordinator, log)
        finally:
            stop_children([coordinator, *(child for child, _ in sites)], STOP_S)

    def _await_certificate(self, coordinator: subprocess.Popen[bytes], log: Path) -> None:
        while not self._certificate.exists():
            self._pause()
            if coordinator.poll() is not None:
                _check(coordinator, log)

    def _watch(self, coordinator: subprocess.Popen[bytes], sites: list[tuple[subprocess.Popen[bytes], Path]]) -> None:
        progress = {hospital.name: ProgressFile(self._kept(hospital) / "state") for hospital in self._plan.hospitals}
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

    @property
    def _certificate(self) -> Path:
        """The authority's certificate, which the coordinator makes when it starts."""
        return self._root / STATE / "certificates" / "ca.crt"

    def _site(self, hospital: VirtualHospital) -> Path:
        return self._root / "sites" / hospital.name

    def _kept(self, hospital: VirtualHospital) -> Path:
        """The folder that holds a hospital's archive and state."""
        return (self._plan.archives or self._root) / "sites" / hospital.name

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
