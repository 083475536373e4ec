"""What a site's settings file says, whoever writes it: the site itself, or a demo that sets up several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field

from common.roles import Role


class SettingsSection(BaseModel):
    """A table of a settings file; it knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class CoordinatorLine(SettingsSection):
    """The line to the coordinator: outbound HTTPS only, through ``HTTPS_PROXY`` where that is set.

    Attributes:
        address: host and port.
        ca_certificate: the coordinator's certificate authority, PEM.
        private_key: this site's key, made by ``tomoray-site init``; it never leaves the site.
        release_key: the coordinator's public key, the line that starts with ``ssh-ed25519``: it signs every request and
            released network, and a site without it takes part in nothing.
    """

    address: Annotated[str, Field(pattern=r"^[0-9A-Za-z.\[\]:_-]+:[0-9]{1,5}$")]
    ca_certificate: Path
    private_key: Path
    release_key: Annotated[str, Field(max_length=1000)] | None = None


class SiteFile(SettingsSection):
    """One hospital's installation, its archive a folder.

    Attributes:
        name: the site's name in reports.
        role: ``train``, or ``evaluate`` for a held-out site, which refuses every training request.
        archive: folder with DICOM, only ever read.
        state: folder for cohort cache, ledger and training state.
        studies: study files this site approves; requests for any other study are refused.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.
        devices: GPUs that share each training batch, a process for each; with ``cpu`` that many processes.
        threads: CPU threads for native radiographs, training and evaluation; in training, of each device's process.
        workers: processes that build cases side by side, about half a gigabyte each; by default as many as pay and the
            machine holds.
        gallery_cases: cases shown on the local page after each evaluation; 0 switches the page off.
        coordinator: the line to the coordinator.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    role: Role
    archive: Path | None = None
    state: Path
    studies: Annotated[tuple[Path, ...], Field(min_length=1)]
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1, le=64)] = 1
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    gallery_cases: Annotated[int, Field(ge=0, le=100)] = 4
    coordinator: CoordinatorLine
