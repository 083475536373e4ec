"""The settings of the demo's coordinator and sites, as their engineers would write them."""

from __future__ import annotations

import socket
from pathlib import Path

from common.site_settings import CoordinatorLine, SiteFile
from server.coordinator import CoordinatorSettings
from server.demo.hospitals import VirtualHospital

STATE = "coordinator"
LOOPBACK = "127.0.0.1"


def site_file(
    hospital: VirtualHospital, study: Path, ca_certificate: Path, release_key: str, port: int, folder: Path = Path()
) -> SiteFile:
    """One hospital's settings; its key lies beside the file, its archive and state there too, or in another folder."""
    line = CoordinatorLine(
        address=f"{LOOPBACK}:{port}",
        ca_certificate=ca_certificate,
        private_key=Path("site.key"),
        release_key=release_key,
    )
    return SiteFile(
        name=hospital.name,
        role=hospital.role,
        archive=folder / "archive",
        state=folder / "state",
        studies=(study,),
        # The sites share one machine: each builds its cohort in its own process.
        workers=1,
        coordinator=line,
    )


def coordinator_file(study: Path, port: int) -> CoordinatorSettings:
    """The coordinator's settings; its run is the demo's own folder, where the file lies."""
    return CoordinatorSettings(study=study, run=Path(), admissions=Path("sites.toml"), state=Path(STATE), port=port)


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
