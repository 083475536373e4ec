"""The round loop and its resume, aggregation, and the run on disk."""

from server.rounds.asking import Asker
from server.rounds.context import RunContext
from server.rounds.events import Event, EventLog, follow
from server.rounds.loop import RoundLoop
from server.rounds.preparation import prepare_run
from server.rounds.record import Outcome, RoundRecord, RunRecord, SiteEvaluation, SiteRecord, SiteTraining
from server.rounds.run_directory import RunDirectory

__all__ = [
    "Asker",
    "Event",
    "EventLog",
    "Outcome",
    "RoundLoop",
    "RoundRecord",
    "RunContext",
    "RunDirectory",
    "RunRecord",
    "SiteEvaluation",
    "SiteRecord",
    "SiteTraining",
    "follow",
    "prepare_run",
]
