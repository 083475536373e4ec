"""A card from a run's record and the report's document of it: every figure is the report's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import final

from common.release import (
    CardMetric,
    CardSite,
    CentreFigures,
    Figure,
    HeldOutFigures,
    Interval95,
    NetworkCard,
    OverCentres,
    PooledFigure,
)
from common.trust import RELEASE
from server.release.card_wording import intended_use, limits_of, selection_of, tested_for
from server.report import CentreResult, Evaluation, Interval, RecordedRun, ReportDocument
from server.rounds import Outcome, RoundRecord, SiteRecord


@final
@dataclass(frozen=True)
class Facts:
    """What a card says that no record holds.

    Attributes:
        is_average: whether the generator is the running average over the rounds.
        made_on: the card's date, UTC.
        reprojection_limit: as :class:`common.release.NetworkCard` says.
    """

    is_average: bool
    made_on: date
    reprojection_limit: float | None


def card_of(recorded: RecordedRun, record: RoundRecord, facts: Facts) -> NetworkCard:
    """The card of a round's generator.

    Raises:
        ValidationError: if a record holds what no card can.
    """
    document = ReportDocument.of(_until(recorded, record.round))
    # Figures of an earlier round are those of other weights.
    held_out = document.held_out if document.held_out.round == record.round else None
    run, study = recorded.run, recorded.study
    named = {pooled.metric for pooled in held_out.pooled} if held_out else set()
    return NetworkCard(
        study=study,
        study_sha256=study.sha256,
        run=run.run,
        round=record.round,
        selection=selection_of(recorded, record.round),
        generator_sha256=record.generator_sha256,
        generator_average=facts.is_average,
        generator_parameters=run.generator_parameters,
        sites=tuple(_site(site, recorded, record.round) for site in run.sites),
        held_out=_held_out(held_out) if held_out else None,
        metrics=tuple(
            CardMetric(
                name=metric.name,
                label=metric.label,
                unit=metric.unit,
                decimals=metric.decimals,
                higher_is_better=metric.higher_is_better,
                definition=metric.text,
            )
            for metric in document.metrics
            if metric.name in named
        ),
        reprojection_limit=facts.reprojection_limit,
        intended_use=intended_use(study),
        tested_for=tested_for(document, record.round, tested=held_out is not None),
        limits=limits_of(study, held_out, is_average=facts.is_average, has_limit=facts.reprojection_limit is not None),
        trained_with=run.release,
        versions=dict(sorted(run.versions.items())),
        bundle_sha256=run.bundle_sha256,
        made_with=RELEASE,
        made_on=facts.made_on,
    )


def _until(recorded: RecordedRun, number: int) -> RecordedRun:
    """The run as it stood when a round was finished."""
    rounds = tuple(record for record in recorded.rounds if record.round <= number)
    superseded = tuple(record for record in recorded.superseded if record.round <= number)
    return replace(recorded, rounds=rounds, superseded=superseded)


def _site(site: SiteRecord, recorded: RecordedRun, number: int) -> CardSite:
    contributed = [
        record.round
        for record in recorded.rounds
        if record.round <= number and record.aggregated
        for entry in record.training
        if entry.site == site.name and entry.outcome is Outcome.ACCEPTED
    ]
    return CardSite(
        name=site.name,
        role=site.role,
        train_cases=site.train_cases,
        evaluation_cases=site.evaluation_cases,
        flow=site.flow,
        contributed_rounds=len(contributed),
    )


def _held_out(evaluation: Evaluation) -> HeldOutFigures:
    return HeldOutFigures(
        centres=tuple(_centre(centre) for centre in evaluation.centres),
        pooled=tuple(PooledFigure.model_validate(pooled.model_dump()) for pooled in evaluation.pooled),
        over_centres=tuple(
            OverCentres(
                metric=found.metric,
                centres=effects.centres,
                mean=effects.mean,
                ci=Interval95(low=effects.ci.low, high=effects.ci.high),
                prediction=_interval(effects.prediction),
                tau2=effects.tau2,
                i2_percent=effects.i2_percent,
            )
            for found in evaluation.heterogeneity
            if (effects := found.random_effects) is not None
        ),
    )


def _centre(centre: CentreResult) -> CentreFigures:
    figures = tuple(
        Figure(
            method=method.method,
            metric=result.metric,
            cases=result.estimate.cases,
            mean=result.estimate.mean,
            sd=result.estimate.sd,
            ci=_interval(result.estimate.ci),
        )
        for method in centre.methods
        for result in method.metrics
    )
    return CentreFigures(site=centre.site, cases=centre.cases, reason=centre.reason, figures=figures)


def _interval(interval: Interval | None) -> Interval95 | None:
    return None if interval is None else Interval95(low=interval.low, high=interval.high)
