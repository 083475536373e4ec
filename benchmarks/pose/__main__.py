"""``make bench-pose``: poses of films with all their physics, from real heads, beside what was aimed at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console

from benchmarks.measure import conclude, show
from benchmarks.pose.aims import failed_share, pose_goals, spread_of, views_of
from benchmarks.pose.records import (
    CUT,
    DETECTOR_WRONG,
    SOURCE_WRONG,
    STATED,
    STRANGERS,
    UNSTATED,
    Record,
    sitting_record,
)
from benchmarks.pose.sittings import twin
from benchmarks.quality.heads import PERSONS, canonical_head, heads_sha256
from benchmarks.quality.store import Store
from client.pose import PoseVerdict

SITTINGS, QUICK_SITTINGS = 7, 1
PROTOCOL = (
    "Real heads 01, 02, 03 and 06 at 1.8 mm, filmed with spectrum, scatter, grid, blur, noise, collimator and lead "
    "letter, stored as DX, CR or XA, read back as a site reads them. Fitted: a twin of the head in voxels of 2.1 mm, "
    "blurred, with 25 HU of noise. Starts at the nominal pose; truth uniform within 10 degrees and 15 mm about each "
    "axis; distances of each room within 10 % of 1000 and 1300 mm. Another person's CT is fitted to every film."
)
FIGURES = {"turn_deg": "angle °", "across_mm": "across mm", "depth_mm": "depth mm", "reprojected_mm": "re-projected mm"}


def main(
    ct: Annotated[Path, typer.Option(help="Folder that holds the real heads.")] = Path("../shared/data/ct"),
    quick: Annotated[bool, typer.Option(help="One sitting a head.")] = False,
    cache: Annotated[Path, typer.Option(help="Where heads and records are kept.")] = Path("runs/pose"),
) -> None:
    """Compute what is not known yet, then print the tables."""
    torch.set_num_threads(1)
    console = Console(width=int(os.environ.get("COLUMNS", "150")))
    store = Store(cache, source=heads_sha256(ct))
    heads = {person: canonical_head(person, ct, store).numpy() for person in PERSONS}
    twins = {person: twin(head, seed=int(person)) for person, head in heads.items()}
    records = []
    for number in range(1, (QUICK_SITTINGS if quick else SITTINGS) + 1):
        for person in PERSONS:
            records.append(sitting_record(store, heads, twins, person, number))
            console.log(f"head {person}, sitting {number}")
    _show_poses(console, records)
    _show_verdicts(console, records)
    figures: dict[str, Any] = {"calibration, RMSE": _show_calibrations(console, records), "sittings": records}
    refused = [verdict for record in records for verdict in record["refused"]]
    console.print(f"films that the reader refused: {len(refused)} {sorted(set(refused))}", highlight=False)
    conclude(console, "pose", pose_goals(records), figures, PROTOCOL, complete=not quick)


def _show_poses(console: Console, records: Sequence[Record]) -> None:
    rows = []
    for condition in (STATED, CUT, SOURCE_WRONG, DETECTOR_WRONG, UNSTATED):
        views = views_of(records, condition)
        told = []
        for figure in FIGURES:
            spread = spread_of(views, figure)
            known = figure != "depth_mm" or condition != UNSTATED
            told.append(f"{spread['median']:.2f} ({spread['p90']:.2f})" if known else "unknown")
        rows.append([condition, str(len(views)), *told, f"{spread_of(views, 'cpu_s')['median']:.2f}"])
    show(console, "Median (90th percentile)", ["distances", "views", *FIGURES.values(), "CPU-s a view"], rows)


def _show_verdicts(console: Console, records: Sequence[Record]) -> None:
    rows = []
    for condition in (STATED, CUT, SOURCE_WRONG, DETECTOR_WRONG, UNSTATED, STRANGERS):
        views = views_of(records, condition)
        counts = [str(sum(view["verdict"] == verdict.value for view in views)) for verdict in PoseVerdict]
        likeness = [view["likeness"] for view in views]
        rows.append([condition, *counts, f"{failed_share(views):.1%}", f"{min(likeness):.3f} to {max(likeness):.3f}"])
    show(console, "Verdicts", ["", *(verdict.value for verdict in PoseVerdict), "failed", "likeness"], rows)


def _show_calibrations(console: Console, records: Sequence[Record]) -> dict[str, float]:
    """Medians over sittings."""
    made = [record["calibration"] for record in records if "calibration" in record]
    medians = {name: float(np.median([one["rmse"][name] for one in made])) for name in made[0]["rmse"]}
    rows = [[name, f"{value:.3f}"] for name, value in medians.items()]
    show(console, "Line integrals behind the head against the DRR, RMSE, median of sittings", ["film", "RMSE"], rows)
    return medians


if __name__ == "__main__":
    typer.run(main)
