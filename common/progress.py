"""What the site is doing now, in one small file that a terminal or a watchdog reads. It never leaves the site."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict, ValidationError


class Phase(StrEnum):
    """What a site's process is busy with."""

    COHORT = "cohort"
    WAITING = "waiting"
    TRAINING = "training"
    EVALUATING = "evaluating"
    STOPPED = "stopped"


@final
class SiteProgress(BaseModel):
    """One moment of a site. ``done`` of ``total`` counts series, steps or cases, as the phase says."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    phase: Phase
    round: int = 0
    done: int = 0
    total: int = 0
    loss: float | None = None


@final
class ProgressFile:
    """The file ``progress.json`` in the site's state."""

    def __init__(self, state: Path) -> None:
        self._path = state / "progress.json"

    def write(self, progress: SiteProgress) -> None:
        """Replace the file. Losing it costs nothing, so it is not synced."""
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(progress.model_dump_json(), encoding="utf-8")
        temporary.replace(self._path)

    def read(self) -> SiteProgress | None:
        """The newest moment, or None before the first."""
        try:
            return SiteProgress.model_validate_json(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValidationError):
            return None
