"""A site's settings: one TOML file the site engineer owns. Relative paths count from that file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, final

from pydantic import Field, model_validator

from client.pacs import Destination, PacsSettings
from common.documents import read_document
from common.errors import ExitCode, Refusal
from common.site_settings import SiteFile

DestinationName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


@final
class SiteSettings(SiteFile):
    """One hospital's installation, its archive a folder or a PACS.

    Attributes:
        pacs: a PACS to retrieve from over DICOMweb; instead of ``archive``.
        destinations: by name, the servers of this hospital that synthetic CT may be sent to; no other is ever sent to.
    """

    pacs: PacsSettings | None = None
    destinations: Annotated[dict[DestinationName, Destination], Field(max_length=32)] = Field(default_factory=dict)

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

    def destination(self, name: str) -> Destination:
        """A destination by its name.

        Raises:
            Refusal: ``SETTINGS_INVALID`` if there is none of this name.
        """
        if name not in self.destinations:
            mend = "add its table [destinations.NAME] with url, or name one that is there"
            what = f"no destination of this name, among {len(self.destinations)}"
            raise Refusal(ExitCode.SETTINGS_INVALID, what, where=f"destinations.{name}", mend=mend)
        return self.destinations[name]

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
                "destinations": {name: one.rooted(folder) for name, one in self.destinations.items()},
                "state": folder / self.state,
                "studies": tuple(folder / path for path in self.studies),
                "coordinator": rooted_line,
            }
        )
