"""The report as a document: everything the page shows and a program may want, in one typed model (``report.json``)."""

from __future__ import annotations

from typing import Literal, Self, final

from pydantic import BaseModel, ConfigDict, FiniteFloat

from common.metrics import (
    MethodDefinition,
    MetricDefinition,
    method_named,
    method_order,
    metric_definitions,
    metric_named,
)
from common.roles import Role
from common.study import Study
from server.report.guidelines import GUIDELINE_ITEMS, GuidelineItem
from server.report.participation import (
    Incident,
    LossCurve,
    ParticipationRow,
    Separation,
    incidents_of,
    losses_of,
    participation_of,
    separation_of,
)
from server.report.performance import evaluation_of
from server.report.recorded_run import RecordedRun
from server.report.results import Evaluation
from server.report.summary import RESEARCH_ONLY, Paragraph, limitations_of, summary_of
from server.rounds import RunRecord, SiteRecord


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class RoundSummary(_Part):
    """One round's cost and outcome."""

    round: int
    started_at: str
    seconds: FiniteFloat
    aggregated: bool
    generator_sha256: str
    discriminator_sha256: str
    bytes_sent: int
    bytes_received: int


@final
class Provenance(_Part):
    """What identifies the run and its result.

    Attributes:
        generator_sha256: weights of the last averaged round; empty before the first.
        generator_round: that round.
    """

    run: str
    started_at: str
    release: str
    study_sha256: str
    bundle_sha256: str
    generator_sha256: str
    generator_round: int | None
    generator_parameters: int
    discriminator_parameters: int
    versions: dict[str, str]
    rounds_recorded: int
    record_truncated: bool
    seconds: FiniteFloat
    bytes_sent: int
    bytes_received: int


@final
class ReportDocument(_Part):
    """An evaluation round report. ``study`` is embedded whole: window, grid, geometry and seeds are in it."""

    schema_version: Literal[1] = 1
    study: Study
    provenance: Provenance
    research_only: str
    summary: tuple[Paragraph, ...]
    limitations: tuple[str, ...]
    metrics: tuple[MetricDefinition, ...]
    methods: tuple[MethodDefinition, ...]
    centres: tuple[SiteRecord, ...]
    held_out: Evaluation
    internal: Evaluation
    separation: Separation
    participation: tuple[ParticipationRow, ...]
    incidents: tuple[Incident, ...]
    losses: tuple[LossCurve, ...]
    rounds: tuple[RoundSummary, ...]
    guidelines: tuple[GuidelineItem, ...]

    @classmethod
    def of(cls, recorded: RecordedRun) -> Self:
        """Derive the report from a run's records; the same records give the same document."""
        known = metric_definitions(recorded.study)
        held_out = evaluation_of(recorded, Role.EVALUATE, known)
        internal = evaluation_of(recorded, Role.TRAIN, known)
        separation = separation_of(recorded)
        participation = participation_of(recorded)
        incidents = incidents_of(participation)
        return cls(
            study=recorded.study,
            provenance=_provenance(recorded),
            research_only=RESEARCH_ONLY,
            summary=summary_of(recorded, held_out, separation),
            limitations=limitations_of(recorded, held_out, incidents),
            metrics=_metrics((held_out, internal), known),
            methods=_methods((held_out, internal)),
            centres=recorded.run.sites,
            held_out=held_out,
            internal=internal,
            separation=separation,
            participation=participation,
            incidents=incidents,
            losses=losses_of(recorded),
            rounds=_rounds(recorded),
            guidelines=GUIDELINE_ITEMS,
        )


def _provenance(recorded: RecordedRun) -> Provenance:
    run: RunRecord = recorded.run
    last = next((record for record in reversed(recorded.rounds) if record.aggregated), None)
    return Provenance(
        run=run.run,
        started_at=run.started_at,
        release=run.release,
        study_sha256=run.study_sha256,
        bundle_sha256=run.bundle_sha256,
        generator_sha256=last.generator_sha256 if last else "",
        generator_round=last.round if last else None,
        generator_parameters=run.generator_parameters,
        discriminator_parameters=run.discriminator_parameters,
        versions=dict(sorted(run.versions.items())),
        rounds_recorded=len(recorded.rounds),
        record_truncated=recorded.truncated,
        seconds=sum(record.seconds for record in recorded.everything),
        bytes_sent=sum(record.bytes_sent for record in recorded.everything),
        bytes_received=sum(record.bytes_received for record in recorded.everything),
    )


def _rounds(recorded: RecordedRun) -> tuple[RoundSummary, ...]:
    kept = set(RoundSummary.model_fields)
    return tuple(RoundSummary.model_validate(record.model_dump(include=kept)) for record in recorded.rounds)


def _metrics(evaluations: tuple[Evaluation, ...], known: tuple[MetricDefinition, ...]) -> tuple[MetricDefinition, ...]:
    """Definitions of all metrics this release knows, then of any other that a site reported."""
    names = {pooled.metric for evaluation in evaluations for pooled in evaluation.pooled}
    others = sorted(names - {definition.name for definition in known})
    return known + tuple(metric_named(name, known) for name in others)


def _methods(evaluations: tuple[Evaluation, ...]) -> tuple[MethodDefinition, ...]:
    names = {pooled.method for evaluation in evaluations for pooled in evaluation.pooled}
    return tuple(method_named(name) for name in sorted(names, key=method_order))
