"""``make bench-cohort``: scanning an archive and making cases of it, beside pydicom, MONAI and SimpleITK."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import SimpleITK as sitk
import torch
import typer
from rich.console import Console

from benchmarks.cohort import canonical, scanning
from benchmarks.cohort.clock import CostTable
from benchmarks.cohort.peers import left_out
from benchmarks.cohort.series import series_folders
from benchmarks.cohort.synthetic_archive import ArchiveSize, synthetic_archive
from benchmarks.measure import Goal, conclude, show

CACHE = Path(tempfile.gettempdir()) / "tomoray-benchmarks"
QUICK_SIZE = ArchiveSize(series=50, slices=100)
PROTOCOL = (
    "(a) 200 series of 100 files, 128² int16, some 80 elements, half explicit, half implicit; page cache warm; medians "
    "of turns; the first scan starts without an index; the second is held against pydicom's reading of the same files' "
    "headers. (b) One series from its folder to 128³ voxels of 1.8 mm; ours finds, judges, decodes, masks, aligns, "
    "resamples and projects 2 x 128²; MONAI loads, orients, interpolates, crops or pads. Equal threads; medians of "
    "interleaved turns, first turn left out; wall and processor time with children. Differences: as scanned, on "
    "MONAI's grid, values below air made air before interpolation everywhere."
)


def main(
    ct: Annotated[Path | None, typer.Option(help="Folder of real head CTs for a real series.")] = None,
    cache: Annotated[Path, typer.Option(help="Where the written archives are kept.")] = CACHE,
    threads: Annotated[int, typer.Option(help="Threads of every method, processes of the scan.")] = 2,
    turns: Annotated[int, typer.Option(help="Counted turns.")] = 5,
    part: Annotated[list[str] | None, typer.Option(help="scan, rate or agreement; all by default.")] = None,
    quick: Annotated[bool, typer.Option(help="A small archive, one counted turn; no results are written.")] = False,
) -> None:
    """Measure, print tables, write results."""
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    console = Console(width=150)
    parts, turns = part or ["scan", "rate", "agreement"], 1 if quick else turns
    goals: list[Goal] = []
    figures: dict[str, object] = {}
    if "scan" in parts:
        size = QUICK_SIZE if quick else ArchiveSize()
        costs = scanning.scan_table(synthetic_archive(cache, size), size, threads, min(turns, 3))
        _show_costs(console, f"(a) {size.files} files, s", costs, scanning.FIRST)
        goals += scanning.scan_goals(costs)
        figures["(a)"] = {
            name: asdict(taken) | {"files_per_s": size.files / taken.wall_s} for name, taken in costs.items()
        }
    missing = left_out() if {"rate", "agreement"} & set(parts) else []
    if missing:
        console.print(f"Peers left out: {', '.join(missing)}", highlight=False, soft_wrap=True)
    folders = series_folders(cache, ct) if {"rate", "agreement"} & set(parts) else {}
    if "rate" in parts:
        rates = canonical.rate_table(folders, turns)
        for name, costs in rates.items():
            _show_costs(console, f"(b) {name}, one case, s", costs, canonical.OURS)
        goals += canonical.rate_goals(rates)
        figures["(b)"] = {name: {key: asdict(taken) for key, taken in costs.items()} for name, costs in rates.items()}
    if "agreement" in parts:
        agreement = canonical.agreement_table(folders)
        rows = [
            [f"{name}: {method}", f"{found.mean_hu:.5f}", f"{found.max_hu:.4f}"]
            for name, row in agreement.items()
            for method, found in row.items()
        ]
        if rows:
            show(console, "(b) difference to SimpleITK, HU", ["volume", "mean", "maximum"], rows)
        goals += canonical.agreement_goals(agreement)
        figures["agreement"] = canonical.agreement_figures(agreement)
    complete = not (quick or missing) and ct is not None and set(parts) >= {"scan", "rate", "agreement"}
    conclude(console, "cohort", goals, figures, PROTOCOL, complete=complete)


def _show_costs(console: Console, title: str, costs: CostTable, ours: str) -> None:
    """One row a method: wall and processor time, each with its ratio to ours."""
    rows = [
        [
            name,
            f"{taken.wall_s:.3f} ({taken.wall_s / costs[ours].wall_s:.2f}x)",
            f"{taken.cpu_s:.3f} ({taken.cpu_s / costs[ours].cpu_s:.2f}x)",
        ]
        for name, taken in costs.items()
    ]
    show(console, title, ["method", "wall", "CPU"], rows)


if __name__ == "__main__":
    typer.run(main)
