"""What every step of a run shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from common.study import Study
from server.consortium import AdmittedSite
from server.rounds.asking import Asker
from server.rounds.events import EventLog
from server.rounds.run_directory import RunDirectory


def _unchanged() -> None:
    """The admissions of a run that does not read them again."""


@final
@dataclass(frozen=True)
class RunContext:
    """One execution of a study.

    Attributes:
        study: what is trained.
        run: the run's identity.
        admitted: the consortium's sites by name, as they are at this moment.
        directory: the run on disk.
        asker: the line to the sites.
        events: what terminals show.
        refresh: brings ``admitted`` up to date; called before each round.
        reask_wait_s: pause before a round without enough replies is tried again.
    """

    study: Study
    run: str
    admitted: Mapping[str, AdmittedSite]
    directory: RunDirectory
    asker: Asker
    events: EventLog
    refresh: Callable[[], None] = _unchanged
    reask_wait_s: float = 90.0
