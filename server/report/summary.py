"""The report in sentences built from its numbers, and what limits them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from pydantic import BaseModel, ConfigDict

from common.metrics import GENERATOR, PRINCIPAL, method_named, metric_definitions, metric_named, window_text
from common.roles import Role
from server.report.participation import Incident, Separation, unregistered_sites
from server.report.recorded_run import RecordedRun
from server.report.results import BaselineDifference, CentreState, Change, Evaluation
from server.report.wording import counted, grouped, interval, listed, number, ranges
from server.rounds import Outcome

FEW_CENTRES = 10

RESEARCH_ONLY = (
    "For research only. A synthetic volume shows what is plausible given two radiographs, not what is there. It is not "
    "a medical device and not for diagnosis, planning of treatment, or dose calculation."
)


@final
class Paragraph(BaseModel):
    """A headed paragraph of plain text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    heading: str
    text: str


def summary_of(recorded: RecordedRun, held_out: Evaluation, separation: Separation) -> tuple[Paragraph, ...]:
    """Design, centres, results and spread between centres, each in a few sentences."""
    return (
        Paragraph(heading="Design", text=_design(recorded)),
        Paragraph(heading="Separation", text=separation_text(separation)),
        Paragraph(heading="Results", text=_results(recorded, held_out)),
        Paragraph(heading="Between centres", text=_between(held_out)),
    )


def separation_text(separation: Separation) -> str:
    """Whether held-out centres stayed out of training, with the counts that show it."""
    if not separation.held_out:
        return "The run has no held-out centre: nothing here is an external evaluation."
    entries = counted(separation.training_entries, "request to train is", "requests to train are")
    evidence = f"{entries} on record, of which {grouped(separation.accepted_entries)} were accepted"
    if separation.holds:
        return (
            f"Held out: {listed(separation.held_out)}. {evidence}; none names a held-out centre, and no held-out "
            "centre shares a key with a training centre."
        )
    faults = []
    if separation.named:
        faults.append(f"training entries name {listed(separation.named)}")
    if separation.shared_keys:
        faults.append(f"{listed(separation.shared_keys)} and a training centre hold the same key")
    return f"The separation of held-out centres is NOT shown: {listed(faults)}. {evidence}."


def limitations_of(recorded: RecordedRun, held_out: Evaluation, incidents: tuple[Incident, ...]) -> tuple[str, ...]:
    """What a reader must know before quoting a number, most consequential first."""
    notes = (_losses_note(incidents), _outliers_note(incidents))
    return (*limits_of_results(held_out, _record_gaps(recorded)), *(note for note in notes if note))


def limits_of_results(held_out: Evaluation, gaps: Sequence[str] = ()) -> tuple[str, ...]:
    """What limits an evaluation; ``gaps`` in the run's records take their place in the order."""
    return tuple(
        line
        for line in (
            _few_centres(held_out),
            _missing_centres(held_out),
            *gaps,
            *(f"Set aside: {line}." for line in held_out.set_aside),
            "Differences between methods are differences of means. The pairing within cases stays at the sites, so no "
            "interval is given for them, and overlapping intervals of two methods do not show that they are equal.",
            "Only sums travel, so medians, quantiles and worst cases are not reported, and the t intervals assume that "
            "means over a centre's cases are close to normal.",
            "Nothing in these records shows whether one patient was imaged at two centres.",
            "Where radiographs were computed from CT, results with acquired radiographs may be lower: scatter, beam "
            "hardening, grids and post-processing are not in the computed ones.",
        )
        if line
    )


def _design(recorded: RecordedRun) -> str:
    study, run = recorded.study, recorded.run
    z, y, x = study.grid.shape
    accepted = {e.site for r in recorded.rounds for e in r.training if e.outcome is Outcome.ACCEPTED}
    train = sum(site.role is Role.TRAIN for site in run.sites)
    held = sum(site.role is Role.EVALUATE for site in run.sites)
    averaged = sum(record.aggregated for record in recorded.rounds)
    return (
        f"A generator of {_parameters(run.generator_parameters)} turns a frontal ({study.geometry.frontal.value}) and "
        f"a lateral ({study.geometry.lateral.value}) radiograph into a CT volume of {z} × {y} × {x} voxels (z, y, x) "
        f"of {study.grid.voxel_mm:g} mm. {len(accepted)} of {counted(train, 'training centre')} contributed to it; "
        f"{averaged} of {study.federation.rounds} planned rounds were averaged. "
        f"{counted(held, 'centre')} {'was' if held == 1 else 'were'} held out for evaluation. Weights, losses and sums "
        "of metrics travelled; images stayed at the sites."
    )


def _parameters(count: int) -> str:
    return f"{count / 1e6:.1f} million parameters" if count >= 1e6 else counted(count, "parameter")


def _results(recorded: RecordedRun, held_out: Evaluation) -> str:
    if held_out.round is None:
        return "No held-out centre has reported statistics yet."
    known = metric_definitions(recorded.study)
    found = [(metric_named(name, known), held_out.pooled_metric(GENERATOR, name)) for name in PRINCIPAL]
    values = [
        f"{definition.label} {number(pooled.mean, definition.decimals)} {definition.unit}".rstrip()
        for definition, pooled in found
        if pooled is not None
    ]
    pooled = held_out.pooled_metric(GENERATOR, PRINCIPAL[0])
    over = f" over {counted(pooled.cases, 'case')} of {counted(pooled.centres, 'centre')}" if pooled else ""
    sentences = [
        f"After round {held_out.round} the generator reached, at held-out centres and in the window "
        f"{window_text(recorded.study)}, {listed(values)}{over}.",
        _against_baselines([d for d in held_out.differences if d.metric == PRINCIPAL[0]]),
        _since_first([c for c in held_out.changes if c.metric == PRINCIPAL[0]]),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _against_baselines(differences: list[BaselineDifference]) -> str:
    if not differences:
        return ""
    parts = [
        f"{number(abs(d.pooled), 2)} dB {'above' if d.pooled >= 0 else 'BELOW'} the baseline "
        f"“{method_named(d.baseline).label.lower()}”"
        for d in differences
    ]
    return f"Its PSNR lies {listed(parts)}."


def _since_first(changes: list[Change]) -> str:
    if not changes:
        return ""
    change = changes[0]
    step = change.last - change.first
    verb = "rose" if step >= 0 else "fell"
    return f"From round {change.first_round} to {change.last_round} PSNR {verb} by {number(abs(step), 2)} dB."


def _between(held_out: Evaluation) -> str:
    metric = PRINCIPAL[0]
    means = [e.mean for centre in held_out.centres if (e := centre.estimate(GENERATOR, metric)) is not None]
    if not means:
        return "No held-out centre has reported statistics yet."
    if len(means) == 1:
        return "One held-out centre reported: the spread between centres cannot be estimated."
    spread = f"Centre means of PSNR range from {number(min(means), 2)} to {number(max(means), 2)} dB."
    pooled = next((h.random_effects for h in held_out.heterogeneity if h.metric == metric), None)
    if pooled is None:
        return f"{spread} A random-effects mean cannot be computed from these centres."
    text = (
        f"{spread} Random effects over {pooled.centres} centres: mean {number(pooled.mean, 2)} dB, Hartung–Knapp "
        f"95\u00a0% CI {interval(pooled.ci, 2)} dB, τ² {number(pooled.tau2, 3)} dB², "
        f"I² {number(pooled.i2_percent)}\u00a0%"
    )
    if pooled.prediction is not None:
        text += f"; a further centre's mean is predicted in {interval(pooled.prediction, 2)} dB"
    return f"{text}." + (f" With {pooled.centres} centres τ² is very imprecise." if _few(pooled.centres) else "")


def _few(centres: int) -> bool:
    return centres < FEW_CENTRES


def _few_centres(held_out: Evaluation) -> str:
    centres = sum(centre.state is CentreState.EVALUATED for centre in held_out.centres)
    if centres < 2:
        return (
            "Fewer than two held-out centres have results: nothing can be said about how performance varies between "
            "centres."
        )
    if _few(centres):
        return (
            f"{centres} held-out centres: τ², I² and the prediction interval are very imprecise with so few, and a τ² "
            "of zero does not show that centres are alike."
        )
    return ""


def _missing_centres(held_out: Evaluation) -> str:
    missing = [f"{c.site} ({c.reason})" for c in held_out.centres if c.state is not CentreState.EVALUATED]
    if not missing or held_out.round is None:
        return ""
    return f"Without results in round {held_out.round}, and so missing from every pooled value: {listed(missing)}."


def _record_gaps(recorded: RecordedRun) -> list[str]:
    gaps = []
    planned, done = recorded.study.federation.rounds, len(recorded.rounds)
    if done < planned:
        gaps.append(f"The run is not complete: {done} of {planned} planned rounds are on record.")
    idle = [record.round for record in recorded.rounds if not record.aggregated]
    if idle:
        gaps.append(f"Rounds without an average, which left the weights as they were: {ranges(idle)}.")
    if recorded.truncated:
        gaps.append(
            "The last line of the record was cut short, as when a process is killed while writing. That round is left "
            "out."
        )
    if recorded.superseded:
        repeated = ranges(record.round for record in recorded.superseded)
        gaps.append(f"Rounds run again after a restart, of which the last record counts: {repeated}.")
    strangers = unregistered_sites(recorded)
    if strangers:
        gaps.append(f"Records name sites that never registered, whose results are left out: {listed(strangers)}.")
    return gaps


def _losses_note(incidents: tuple[Incident, ...]) -> str:
    count = sum(len(incident.rounds) for incident in incidents if incident.outcome is not Outcome.ACCEPTED)
    return f"{counted(count, 'request')} ended without an accepted reply; the incidents are listed." if count else ""


def _outliers_note(incidents: tuple[Incident, ...]) -> str:
    odd = [incident for incident in incidents if incident.outcome is Outcome.ACCEPTED]
    if not odd:
        return ""
    count, sites = sum(len(incident.rounds) for incident in odd), listed(sorted({incident.site for incident in odd}))
    return f"{counted(count, 'update')} of {sites} lay apart from the others' and count; the incidents are listed."
