"""Who took part in which round, what went wrong, and whether held-out centres ever trained."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import final

from pydantic import BaseModel, ConfigDict, FiniteFloat

from common.exchange import TrainLosses
from common.roles import Role
from server.report.recorded_run import RecordedRun
from server.report.results import CurvePoint
from server.rounds import Outcome, RoundRecord, SiteEvaluation, SiteTraining


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(StrEnum):
    """What a site was asked to do."""

    TRAIN = "train"
    EVALUATE = "evaluate"


@final
class Cell(_Part):
    """A site's part in one round."""

    round: int
    outcome: Outcome
    reason: str
    cases: int
    seconds: FiniteFloat
    suppressed: bool


@final
class ParticipationRow(_Part):
    """One task of one site over the rounds; a round in which the site was not asked has no cell."""

    site: str
    role: Role
    task: Task
    cells: tuple[Cell, ...]

    def cell(self, number: int) -> Cell | None:
        """The site's part in a round, if it was asked."""
        return next((cell for cell in self.cells if cell.round == number), None)


@final
class Incident(_Part):
    """The same thing going wrong, or being odd, at the same site, with the rounds it happened in."""

    site: str
    task: Task
    outcome: Outcome
    reason: str
    rounds: tuple[int, ...]


@final
class Separation(_Part):
    """Whether held-out centres stayed out of training, from every record of the run, repeated rounds included.

    Attributes:
        held_out: registered held-out centres.
        training_entries: recorded requests to train.
        accepted_entries: those of them whose weights entered an average.
        named: held-out centres that any training entry names, whatever became of it.
        shared_keys: held-out centres whose key a training centre also holds.
        holds: nothing is named and no key is shared.
    """

    held_out: tuple[str, ...]
    training_entries: int
    accepted_entries: int
    named: tuple[str, ...]
    shared_keys: tuple[str, ...]
    holds: bool


@final
class LossCurve(_Part):
    """One mean training loss over the rounds at one site."""

    site: str
    loss: str
    points: tuple[CurvePoint, ...]


def participation_of(recorded: RecordedRun) -> tuple[ParticipationRow, ...]:
    """Rows in the order of registration, training first; sites that never registered come last."""
    roles = {site.name: site.role for site in recorded.run.sites}
    for record in recorded.rounds:
        for trained in record.training:
            roles.setdefault(trained.site, Role.TRAIN)
        for evaluated in record.evaluation:
            roles.setdefault(evaluated.site, evaluated.role)
    order = sorted(roles, key=lambda name: roles[name] is not Role.TRAIN)
    rows = [ParticipationRow(site=s, role=roles[s], task=t, cells=_cells(recorded, s, t)) for s in order for t in Task]
    return tuple(row for row in rows if row.cells or row.task.value == row.role.value)


def unregistered_sites(recorded: RecordedRun) -> tuple[str, ...]:
    """Sites that records name but the run did not register."""
    registered = {site.name for site in recorded.run.sites}
    trained = {entry.site for record in recorded.everything for entry in record.training}
    evaluated = {entry.site for record in recorded.everything for entry in record.evaluation}
    return tuple(sorted((trained | evaluated) - registered))


def incidents_of(rows: Iterable[ParticipationRow]) -> tuple[Incident, ...]:
    """Everything that was not accepted, or was odd, grouped by site, task, outcome and reason."""
    rounds: dict[tuple[str, Task, Outcome, str], list[int]] = {}
    for row in rows:
        for cell in row.cells:
            if cell.outcome is not Outcome.ACCEPTED or cell.reason:
                rounds.setdefault((row.site, row.task, cell.outcome, cell.reason), []).append(cell.round)
    return tuple(
        Incident(site=site, task=task, outcome=outcome, reason=reason, rounds=tuple(numbers))
        for (site, task, outcome, reason), numbers in rounds.items()
    )


def separation_of(recorded: RecordedRun) -> Separation:
    """Checks every training entry and key against the held-out centres."""
    held_out = [site for site in recorded.run.sites if site.role is Role.EVALUATE]
    keys = {site.key_sha256 for site in recorded.run.sites if site.role is Role.TRAIN}
    entries = [entry for record in recorded.everything for entry in record.training]
    asked = {entry.site for entry in entries}
    named = tuple(site.name for site in held_out if site.name in asked)
    shared = tuple(site.name for site in held_out if site.key_sha256 in keys)
    return Separation(
        held_out=tuple(site.name for site in held_out),
        training_entries=len(entries),
        accepted_entries=sum(entry.outcome is Outcome.ACCEPTED for entry in entries),
        named=named,
        shared_keys=shared,
        holds=not named and not shared,
    )


def losses_of(recorded: RecordedRun) -> tuple[LossCurve, ...]:
    """Mean losses of accepted training, by site and loss."""
    sites = sorted({entry.site for record in recorded.rounds for entry in record.training if entry.losses})
    curves = (
        LossCurve(site=site, loss=loss, points=_loss_points(recorded.rounds, site, loss))
        for loss in TrainLosses.model_fields
        for site in sites
    )
    return tuple(curve for curve in curves if curve.points)


def _loss_points(rounds: Iterable[RoundRecord], site: str, loss: str) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(round=record.round, value=value)
        for record in rounds
        for entry in record.training
        if entry.site == site and entry.losses is not None
        if (value := entry.losses.model_dump()[loss]) is not None
    )


def _cells(recorded: RecordedRun, site: str, task: Task) -> tuple[Cell, ...]:
    return tuple(
        _cell(record.round, entry)
        for record in recorded.rounds
        for entry in (record.training if task is Task.TRAIN else record.evaluation)
        if entry.site == site
    )


def _cell(number: int, entry: SiteTraining | SiteEvaluation) -> Cell:
    return Cell(
        round=number,
        outcome=entry.outcome,
        reason=entry.reason,
        cases=entry.cases,
        seconds=entry.seconds,
        suppressed=isinstance(entry, SiteEvaluation) and entry.suppressed,
    )
