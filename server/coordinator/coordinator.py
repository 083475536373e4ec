"""A coordinator at work: SuperLink and round loop as supervised child processes, until the run is finished."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import final

from common.errors import ExitCode, Refusal
from common.exchange import largest_reply
from common.files import make_folder
from common.processes import failure, python_module, start_child, stop_children
from common.restart_rate import RestartRate
from common.study import Study
from server.consortium import make_certificates, read_admissions
from server.coordinator.round_order import RoundOrder
from server.coordinator.settings import CoordinatorSettings
from server.link import Control, SuperLink
from server.rounds import EventLog, RunDirectory, prepare_run

# How often the round loop may end within an hour before a person must look; apart from that a run may take weeks.
ENDS_WITHIN_THE_HOUR, AN_HOUR_S = 5, 3600.0
STOP_S = 3.0
POLL_S = 0.3
WORTH_ANOTHER_START = {ExitCode.INTERRUPTED, ExitCode.SUPERLINK_FAILED, ExitCode.COORDINATOR_UNREACHABLE}


@final
class Coordinator:
    """Runs one study to its end.

    Args:
        settings: the coordinator's settings.
        stop: ends everything within seconds once it is set.
        watch: called a few times a second, e.g. to show progress.
    """

    def __init__(self, settings: CoordinatorSettings, stop: threading.Event, watch: Callable[[], None]) -> None:
        self._settings = settings
        self._stop = stop
        self._watch = watch

    def run(self) -> None:
        """Run, or resume, until all rounds are done.

        Raises:
            Refusal: what settings, SuperLink or round loop refuse; ``INTERRUPTED`` where ``stop`` was set.
        """
        settings = self._settings
        study = Study.from_toml(settings.study)
        # Refused now rather than by the round loop.
        read_admissions(settings.admissions)
        directory = RunDirectory(settings.run)
        prepare_run(study, directory)
        make_folder(settings.state)
        settings.signing_key()
        certificates = make_certificates(settings.state / "certificates", settings.hosts)
        largest = largest_reply(study)
        with SuperLink(settings.state / "superlink", certificates, settings.port, largest=largest) as superlink:
            self._supervise(superlink, EventLog(directory.events))

    def _supervise(self, superlink: SuperLink, events: EventLog) -> None:
        starts = RestartRate(ENDS_WITHIN_THE_HOUR, AN_HOUR_S)
        while starts.allows():
            with Control(superlink.address, superlink.ca_certificate, superlink.secret) as control:
                flower_run = control.start_run()
                child = self._start_rounds(superlink, flower_run)
                try:
                    status = self._await(child, superlink)
                finally:
                    stop_children([child], STOP_S)
                    control.stop_run(flower_run)
            if status == ExitCode.OK:
                return
            self._check_status(status)
            events.say("problem", detail=f"the round loop ended with status {status}: starting it again")
        mend = f"look into {self._log}, then start the coordinator again: it resumes where it stood"
        raise Refusal(ExitCode.CHILD_FAILED, "the round loop keeps ending", where="round loop", mend=mend)

    def _start_rounds(self, superlink: SuperLink, flower_run: int) -> subprocess.Popen[bytes]:
        order = RoundOrder(
            study=self._settings.study,
            run=self._settings.run,
            admissions=self._settings.admissions,
            signing=self._settings.signing,
            address=superlink.address,
            ca_certificate=superlink.ca_certificate.decode(),
            secret=superlink.secret.hex(),
            flower_run=flower_run,
            wait_for_sites_s=self._settings.wait_for_sites_s,
        )
        command = python_module("server.coordinator.round_process")
        return start_child(command, self._log, stdin=order.model_dump_json().encode())

    def _await(self, child: subprocess.Popen[bytes], superlink: SuperLink) -> int:
        while child.poll() is None and not self._stop.is_set():
            superlink.poll()
            self._watch()
            self._stop.wait(POLL_S)
        self._watch()
        if self._stop.is_set():
            mend = "start the coordinator again: it resumes where it stood"
            raise Refusal(ExitCode.INTERRUPTED, "stopped", where="coordinator", mend=mend)
        return int(child.returncode)

    def _check_status(self, status: int) -> None:
        """A refusal of the round loop is final; a kill, a crash or a lost SuperLink is worth another start."""
        if status in {int(code) for code in ExitCode} - WORTH_ANOTHER_START:
            raise failure(status, self._log)

    @property
    def _log(self) -> Path:
        return self._settings.state / "rounds.log"
