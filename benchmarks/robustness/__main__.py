"""``make bench-robustness``: what radiographs cost that are not quite the study's, and what the SD is worth."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks.measure import Goal, conclude, show
from benchmarks.quality.store import ROOT
from benchmarks.robustness import aims, short_training
from benchmarks.robustness.calibration import Calibration, calibrations, expected_share
from benchmarks.robustness.mean_head import STEPS, mean_head
from benchmarks.robustness.mismatch import EXACT, Synthesise, mismatched_integrals, robustness_table
from client.synthesis import Synthesiser
from common.exchange import Weights
from common.files import read_tensors
from common.study import Study

DEMO = ROOT / "configs" / "demo.toml"
MEAN, NETWORK = "mean head", "network"
FIT = " + fit"
KNOWN, UNSEEN, UNSEEN_BY_MEAN = 24, 8, 4
TRAINING_STEPS, QUICK_STEPS = 300, 150
PROTOCOL = (
    f"Procedural heads, noise-free radiographs. {MEAN}: the mean of {KNOWN}, moved {STEPS} steps, weighted by their "
    f"variance, on {UNSEEN_BY_MEAN} others. {NETWORK}: trained on {short_training.TRAINED_ON} unless weights are "
    f"given, on {UNSEEN} others. fit: a gain and an offset of each view (consistency_affine), in training too. PSNR in "
    "the study's window; shares and errors inside the body."
)


def main(
    study: Annotated[Path | None, typer.Option(help="A study; configs/demo.toml with a variance by default.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Its generator; trained on procedural heads by default.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of each network.")] = None,
    quick: Annotated[bool, typer.Option(help="Half of the steps.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of PyTorch.")] = 1,
) -> None:
    """Measure, print tables, write results."""
    if weights is not None and study is None:
        raise typer.BadParameter("weights belong to a study: name it with --study")
    torch.set_num_threads(threads)
    console = Console(width=int(os.environ.get("COLUMNS", "160")))
    chosen = short_training.with_variance(Study.from_toml(DEMO)) if study is None else Study.from_toml(study)
    count = steps or (QUICK_STEPS if quick else TRAINING_STEPS)
    networks = _networks(console, chosen, weights, count)
    columns = _mean_heads(chosen) | {
        name: aims.psnr_of(robustness_table(own, short_training.unseen_heads(own, UNSEEN), _synthesise(own, found)))
        for name, (own, found) in networks.items()
    }
    goals = aims.fit_goals(MEAN, columns[MEAN], columns[MEAN + FIT])
    if NETWORK + FIT in columns:
        goals += aims.fit_goals(NETWORK, columns[NETWORK], columns[NETWORK + FIT])
    _show_losses(console, columns)
    figures: dict[str, Any] = {"psnr_db": columns}
    if chosen.networks.generator.variance:
        goals += _uncertainty(console, networks, figures)
    else:
        console.print(f"Study {chosen.name} predicts no variance (networks.generator.variance): nothing said of its SD")
    complete = study is None and count == TRAINING_STEPS
    conclude(console, "robustness", goals, figures, f"{chosen.name}: {PROTOCOL} {count} steps.", complete=complete)


def _networks(console: Console, study: Study, weights: Path | None, steps: int) -> dict[str, tuple[Study, Weights]]:
    """Each network's study and weights by name: the one that is given, or two that are trained here."""
    if weights is not None:
        return {NETWORK: (study, read_tensors(weights))}
    found = {}
    for name, affine in ((NETWORK, False), (NETWORK + FIT, True)):
        console.log(f"{name}: {steps} steps")
        short = short_training.shortened(study, steps, affine=affine)
        found[name] = (short, short_training.trained(short))
    return found


def _mean_heads(study: Study) -> dict[str, dict[str, float]]:
    known, unseen = short_training.known_heads(study, KNOWN), short_training.unseen_heads(study, UNSEEN_BY_MEAN)
    return {
        name: aims.psnr_of(robustness_table(study, unseen, mean_head(study, known, affine=affine)))
        for name, affine in ((MEAN, False), (MEAN + FIT, True))
    }


def _synthesise(study: Study, weights: Weights) -> Synthesise:
    synthesiser = Synthesiser(study, torch.device("cpu"))
    synthesiser.load(weights)
    return synthesiser.volumes_hu


def _show_losses(console: Console, columns: Mapping[str, Mapping[str, float]]) -> None:
    def told(column: Mapping[str, float], mismatch: str) -> str:
        return f"{column[mismatch]:.2f} ({column[mismatch] - column[EXACT]:+.2f})"

    rows = [[mismatch, *(told(column, mismatch) for column in columns.values())] for mismatch in columns[MEAN]]
    show(console, "PSNR in dB (beside radiographs as the study says)", ["radiographs", *columns], rows)


def _uncertainty(
    console: Console, networks: Mapping[str, tuple[Study, Weights]], figures: dict[str, Any]
) -> list[Goal]:
    """Tables of each network's SD; goals are the plain one's, on radiographs as the study says."""
    tables: dict[str, dict[str, Calibration]] = {}
    for name, (study, weights) in networks.items():
        heads = short_training.unseen_heads(study, UNSEEN)
        tables[name] = calibrations(study, weights, heads, mismatched_integrals(study, torch.stack(heads)))
        rows = [
            [
                mismatch,
                f"{found.within_1_sd:.1%}",
                f"{found.within_2_sd:.1%}",
                *(f"{sd:.0f} / {error:.0f}" for sd, error in zip(found.sd_hu, found.error_hu, strict=True)),
            ]
            for mismatch, found in tables[name].items()
        ]
        fifths = [f"fifth {number}" for number in range(1, len(rows[0]) - 2)]
        title = f"{name}, body: truth within the SD; by fifths of the SD, its mean / the RMS error in HU"
        show(console, title, ["radiographs", "1 SD", "2 SD", *fifths], rows)
        figures[f"{name}, SD"] = {mismatch: asdict(found) for mismatch, found in tables[name].items()}
    likelihood = networks[NETWORK][0].optimisation.likelihood
    one, two = (expected_share(likelihood, deviations) for deviations in (1, 2))
    console.print(f"A {likelihood} likelihood's own shares: {one:.1%} and {two:.1%}", highlight=False)
    return aims.sd_goals(tables[NETWORK][EXACT], likelihood)


if __name__ == "__main__":
    typer.run(main)
