"""A site at work: its cohort first, then the line to the coordinator, until it is stopped."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import final

import torch

from client.cohort import Cohort, CohortProgress, build_cohort
from client.gate import Approvals, Desk, Gate, Ledger
from client.learning import require_even_shares
from client.link import Coordinator, LinkEvent, SiteApp, StudyWork, Workbench, serve, works_by_study
from client.pacs import PacsProgress
from client.settings import SiteSettings
from client.source import archive_folder
from common.errors import ExitCode, Refusal
from common.exchange import RefusalCode
from common.files import make_folder
from common.processes import return_freed_blocks, sole_process
from common.progress import Phase, ProgressFile, SiteProgress
from common.release import pinned_key
from common.roles import Role
from common.signatures import SigningKey
from common.study import Study
from common.trust import BUNDLE_SHA256, load_private_key

log = logging.getLogger("tomoray.site")


@final
class Site:
    """One hospital's installation at work.

    Args:
        settings: the site's settings.
        stop: ends everything within seconds once it is set.
    """

    def __init__(self, settings: SiteSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._progress = ProgressFile(make_folder(settings.state))

    def run(self) -> None:
        """Build the cohorts, then answer the coordinator until stopped.

        Raises:
            Refusal: what settings, archive, ledger or coordinator refuse.
        """
        settings = self._settings
        coordinator = self._coordinator()
        desk = self._desk(coordinator)
        approvals = Approvals.of(settings.studies)
        torch.set_num_threads(settings.threads)
        with sole_process(settings.state / "lock"):
            gate = Gate(Ledger(settings.state / "ledger"), desk)
            self._archive = archive_folder(settings, self._on_pacs)
            works = self._works(approvals)
            # Training needs it; building cohorts, with many large arrays for a moment each, is faster without.
            return_freed_blocks()
            app = SiteApp(settings.role, approvals, gate, works_by_study(works))
            self._progress.write(SiteProgress(phase=Phase.WAITING))
            try:
                serve(
                    coordinator,
                    app.answer,
                    admit=gate.admit,
                    refuse_bundle=lambda message: app.refuse(message, RefusalCode.BUNDLE_UNKNOWN),
                    bundle_sha256=BUNDLE_SHA256,
                    stop=self._stop,
                    on_event=self._on_event,
                )
            except Refusal as refusal:
                if refusal.code is not ExitCode.INTERRUPTED:
                    raise
            self._progress.write(SiteProgress(phase=Phase.STOPPED))

    def _coordinator(self) -> Coordinator:
        line = self._settings.coordinator
        return Coordinator(
            address=line.address,
            ca_certificate=_read(line.ca_certificate, "get ca.crt from the coordinator"),
            private_key=_read(line.private_key, "make a key with 'tomoray-site init'"),
            state=self._settings.state,
        )

    def _desk(self, coordinator: Coordinator) -> Desk:
        key = SigningKey(load_private_key(coordinator.private_key, where="site key"))
        return Desk(key, pinned_key(self._settings.coordinator.release_key))

    def _works(self, approvals: Approvals) -> dict[str, StudyWork]:
        """The work of every approved study that has a cohort; without any, the first refusal stands."""
        works: dict[str, StudyWork] = {}
        first: Refusal | None = None
        for sha256, study in approvals.studies.items():
            try:
                works[sha256] = self._work(study)
            except Refusal as refusal:
                if refusal.code is not ExitCode.COHORT_TOO_SMALL:
                    raise
                log.error("study %s is not served: %s", study.name, refusal)
                first = first or refusal
        if first is not None and not works:
            raise first
        return works

    def _work(self, study: Study) -> StudyWork:
        settings = self._settings
        # Refused now rather than after the hours a cohort may take.
        device = _device(settings)
        if settings.role is Role.TRAIN:
            require_even_shares(study.optimisation.batch_size, settings.devices)
        cohort = build_cohort(
            self._archive, study, settings.role, settings.state, self._on_cohort, workers=settings.workers
        )
        _log_cohort(study, cohort)
        bench = Workbench(
            role=settings.role,
            state=settings.state,
            device=device,
            gallery_cases=settings.gallery_cases,
            progress=self._progress,
            stop=self._stop.is_set,
            devices=settings.devices,
        )
        return StudyWork(study, cohort, bench)

    def _on_cohort(self, progress: CohortProgress) -> None:
        self._progress.write(SiteProgress(phase=Phase.COHORT, done=progress.done, total=progress.total))
        self._require_going_on("cohort", "start again: finished cases are kept")

    def _on_pacs(self, progress: PacsProgress) -> None:
        self._progress.write(SiteProgress(phase=Phase.COHORT, done=progress.done, total=progress.total))
        self._require_going_on("PACS", "start again: what was retrieved is kept")

    def _require_going_on(self, where: str, mend: str) -> None:
        if self._stop.is_set():
            raise Refusal(ExitCode.INTERRUPTED, "stopped", where=where, mend=mend)

    def _on_event(self, event: LinkEvent) -> None:
        log.info("%s %s", event.kind.value, event.detail)
        if event.kind.value in ("replied", "connected"):
            self._progress.write(SiteProgress(phase=Phase.WAITING))


def _read(path: Path, mend: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"unreadable file ({type(error).__name__})"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=mend) from error


def _device(settings: SiteSettings) -> torch.device:
    """The kind of device, of which there are as many as the settings say."""
    if settings.device == "cpu":
        return torch.device("cpu")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.device == "cuda" and not found:
        mend = "set device to 'cpu' or 'auto', or install the GPU's driver"
        raise Refusal(ExitCode.SETTINGS_INVALID, "no GPU found", where="device", mend=mend)
    if settings.devices > max(found, 1):
        what = f"{settings.devices} devices asked for, {found} GPUs found"
        mend = f"set devices to {max(found, 1)}, or device to 'cpu' for processes without a GPU"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where="devices", mend=mend)
    return torch.device("cuda" if found else "cpu")


def _log_cohort(study: Study, cohort: Cohort) -> None:
    flow = cohort.flow
    log.info("cohort for %s: %d found, %d eligible, %d used", study.name, flow.found, flow.eligible, flow.used)
    for code, count in sorted(flow.excluded.items()):
        log.info("excluded %d series: %s", count, code)
