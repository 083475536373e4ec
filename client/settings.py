"""A site's settings: one TOML file the site engineer owns. Relative paths count from that file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from client.pacs import PacsSettings
from common.documents import read_document
from common.errors import ExitCode
from common.roles import Role


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class CoordinatorSettings(_Section):
    """The line to the coordinator: outbound HTTPS only, through ``HTTPS_PROXY`` where that is set.

    Attributes:
        address: host and port.
        ca_certificate: the coordinator's certificate authority, PEM.
        private_key: this site's key, made by ``tomoray-site init``; it never leaves the site.
    """

    address: Annotated[str, Field(pattern=r"^[0-9A-Za-z.\[\]:_-]+:[0-9]{1,5}$")]
    ca_certificate: Path
    private_key: Path


@final
class SiteSettings(_Section):
    """One hospital's installation.

    Attributes:
        name: the site's name in reports.
        role: ``train``, or ``evaluate`` for a held-out site, which refuses every training request.
        archive: folder with DICOM, only ever read; instead of ``pacs``.
        pacs: a PACS to retrieve from over DICOMweb; instead of ``archive``.
        state: folder for cohort cache, ledger and training state.
        studies: study files this site approves; requests for any other study are refused.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one.
        devices: GPUs that share each training batch, a process for each; with ``cpu`` that many processes.
        threads: CPU threads for native radiographs, training and evaluation; in training, of each device's process.
        workers: processes that build cases side by side, about half a gigabyte each; by default as many as pay and the
            machine holds.
        gallery_cases: cases shown on the local page after each evaluation; 0 switches the page off.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    role: Role
    archive: Path | None = None
    pacs: PacsSettings | None = None
    state: Path
    studies: Annotated[tuple[Path, ...], Field(min_length=1)]
    coordinator: CoordinatorSettings
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1, le=64)] = 1
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    gallery_cases: Annotated[int, Field(ge=0, le=100)] = 4

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.archive is None) == (self.pacs is None):
            raise ValueError("give either archive, a folder, or a table [pacs]")
        return self

    @property
    def source(self) -> Path | PacsSettings:
        """Where the site's DICOM comes from."""
        source = self.pacs if self.archive is None else self.archive
        assert source is not None  # noqa: S101 - tells the type checker what the validator has checked
        return source

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read settings.

        Raises:
            Refusal: ``SETTINGS_INVALID`` naming the first field that is wrong.
        """
        return read_document(cls, path, ExitCode.SETTINGS_INVALID)._rooted(path.resolve().parent)

    def _rooted(self, folder: Path) -> Self:
        line = self.coordinator
        rooted_line = line.model_copy(
            update={"ca_certificate": folder / line.ca_certificate, "private_key": folder / line.private_key}
        )
        return self.model_copy(
            update={
                "archive": None if self.archive is None else folder / self.archive,
                "pacs": None if self.pacs is None else self.pacs.rooted(folder),
                "state": folder / self.state,
                "studies": tuple(folder / path for path in self.studies),
                "coordinator": rooted_line,
            }
        )
