"""``make bench-quality``: leave-one-person-out over real heads, every method at equal processor time."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks.measure import RESULTS, conclude, show
from benchmarks.quality import lesions, tables
from benchmarks.quality.cohort import fold_of
from benchmarks.quality.heads import PERSONS, heads_sha256
from benchmarks.quality.methods import EXTRAS, FILLED, MEAN, METHODS, ORACLES, Result, Runner
from benchmarks.quality.pictures import write_page
from benchmarks.quality.store import Store
from benchmarks.quality.studies import BRAIN

QUICK_PERSONS = ("02", "03")
QUICK_BUDGET_S, BUDGET_S = 50.0, 900.0
PROTOCOL = (
    "64³ voxels of 3.6 mm, window -1000..1500 HU, two radiographs of 128² from the head in 1.8 mm voxels, unclipped, "
    "50 000 photons a pixel. One person held out in turn, in four poses; trained on deformations of the others, of "
    "their morphs, and of procedural heads. Every method may take the same processor seconds, all threads counted; the "
    "three sites of a federation together take one step a second of it, and so does the network trained on their "
    "pooled cases; a site alone takes as many as it takes in the federation."
)


def main(
    ct: Annotated[Path, typer.Option(help="Folder of real head CTs.")],
    budget: Annotated[float | None, typer.Option(help="Processor seconds of each training.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of each network.")] = 1,
    quick: Annotated[bool, typer.Option(help="Two folds, small budgets.")] = False,
    method: Annotated[list[str] | None, typer.Option(help="Run these alone; the table shows all known.")] = None,
    person: Annotated[list[str] | None, typer.Option(help="Hold these persons out alone.")] = None,
    cache: Annotated[Path, typer.Option(help="Where heads, cohorts and results are kept.")] = Path("runs/quality"),
    threads: Annotated[int, typer.Option(help="Threads of every method.")] = 1,
) -> None:
    """Compute what is not known yet, then print the whole table."""
    torch.set_num_threads(threads)
    # A pipe is no terminal, and the table is wide.
    console = Console(width=int(os.environ.get("COLUMNS", "210")))
    budget_s = budget or (QUICK_BUDGET_S if quick else BUDGET_S)
    persons = tuple(person or (QUICK_PERSONS if quick else PERSONS))
    wanted = set(method or METHODS)
    published = budget_s == BUDGET_S and not quick
    store = Store(cache, RESULTS / "quality" if published else None, source=heads_sha256(ct))
    results: dict[str, dict[str, list[Result]]] = defaultdict(dict)
    runners = []
    for held_out in persons:
        fold = fold_of(held_out, ct, store)
        for seed in range(1, seeds + 1):
            runner = Runner(fold, store, seed, budget_s, console.log)
            for name in (*METHODS, *EXTRAS):
                result = runner.result(name, only_known=name not in wanted)
                if result is not None:
                    results[name].setdefault(held_out, []).append(result)
            if seed == 1:
                runners.append(runner)
    tables.show_table(console, results, persons)
    figures: dict[str, Any] = {
        name: {held_out: [asdict(result) for result in found] for held_out, found in by_person.items()}
        for name, by_person in results.items()
    }
    for runner in runners:
        figures[f"findings {runner.fold.person}"] = _show_findings(console, runner)
        _write_pictures(console, runner)
    whole = set(persons) == set(PERSONS) and set(METHODS) <= set(results)
    goals = tables.goals(results, persons)
    conclude(console, "quality", goals, figures, f"{PROTOCOL} Budget {budget_s:g} s.", complete=whole and not quick)


def _show_findings(console: Console, runner: Runner) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for what, make, sizes in (
        ("bleed, radius in mm", lesions.with_bleeds, lesions.BLEED_RADII_MM),
        ("ventricles, relative size", lesions.with_ventricles, lesions.VENTRICLE_SIZES),
        ("midline shift in mm", lesions.with_shifts, lesions.SHIFTS_MM),
    ):
        rows = []
        for name in (tables.STRONGEST, tables.BEST, BRAIN, *ORACLES):
            found = runner.findings(name, what, make)
            if found:
                smallest = lesions.smallest_seen(found)
                shares = [f"{one.shown_hu / one.true_hu:.0%} / {one.cnr:.1f}" for one in found]
                rows.append([name, "never" if smallest is None else f"{smallest:g}", *shares])
                figures[f"{name}, {what}"] = [asdict(one) for one in found]
        title = f"Head {runner.fold.person}, {what}: share of the true contrast / contrast to noise"
        show(console, title, ["method", "seen from", *(f"{size:g}" for size in sizes)], rows)
    return figures


def _write_pictures(console: Console, runner: Runner) -> None:
    volumes = {}
    for name in (BRAIN, tables.BEST, FILLED, tables.STRONGEST, tables.PEER, MEAN):
        predicted = runner.predictions(name)
        if predicted is not None:
            volumes[name] = predicted[0]
    if not volumes:
        console.print(f"No picture of head {runner.fold.person}: no volume predicted on this machine is kept")
        return
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"quality-head-{runner.fold.person}.png"
    truth = {"truth": runner.fold.heads.truths_hu[0]}
    write_page(f"Head {runner.fold.person}, never trained on", truth | volumes, path)
    console.print(f"Picture: {path.name}")


if __name__ == "__main__":
    typer.run(main)
