"""``make bench-projection``: accuracy, speed and pictures of the projector beside its peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmarks.measure import RESULTS, Goal, conclude, show
from benchmarks.projection import accuracy, speed
from benchmarks.projection.ours import OursNative
from benchmarks.projection.peers import PEERS, available_peers
from benchmarks.projection.peers.peer import Peer
from benchmarks.projection.pictures import compare, real_head
from benchmarks.projection.scene import Scene

PROTOCOL = (
    "Two views, 1000 mm to the isocentre, 1500 mm to the detector, 400 mm detector. Errors: root mean square and "
    "maximum over both views against closed-form line integrals to pixel centres, % of the greatest integral; "
    "Gaussians sampled at voxel centres, ellipsoids and box averaged over 27 points where a surface passes. Times: "
    "medians of interleaved turns in one process, first turn left out. Peers are given float32 attenuation; ours "
    "(native) converts int16 HU in the call."
)


def main(
    ct: Annotated[Path | None, typer.Option(help="Folder of real head CTs for the pictures.")] = None,
    threads: Annotated[int, typer.Option(help="Threads of every method.")] = 2,
    part: Annotated[
        list[str] | None, typer.Option(help="accuracy, native, training or pictures; all by default.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer cases; no results are written.")] = False,
) -> None:
    """Measure, print tables, write results and pictures."""
    torch.set_num_threads(threads)
    console = Console(width=150)
    peers = available_peers(threads)
    parts = part or ["accuracy", "native", "training", "pictures"]
    goals: list[Goal] = []
    figures: dict[str, object] = {}
    if "accuracy" in parts:
        goals += _accuracy(console, peers, accuracy.QUICK_SIZES if quick else accuracy.SIZES, figures)
    if "native" in parts:
        table = speed.native_table(peers, threads, quick=quick)
        share = speed.native_memory_share(threads)
        _show_times(console, "(a) 512 x 512 x 256, forward, ms", table, speed.OURS_NATIVE, figures)
        goals += speed.native_goals(table, share, peers)
    if "training" in parts:
        table = speed.training_table(peers, quick=quick)
        _show_times(console, "(b) 128³ to 2 x 128², ms", table, speed.OURS, figures)
        goals += speed.training_goals(table, peers)
    if "native" in parts or "training" in parts:
        figures["ceilings"] = speed.ceilings()
        console.print(
            f"This machine: {figures['ceilings']}. GPU: {'present' if torch.cuda.is_available() else 'none'}."
        )
    if "pictures" in parts and ct is not None and peers:
        _pictures(console, ct, peers, threads)
    complete = set(parts) >= {"accuracy", "native", "training"} and not quick and len(peers) == len(PEERS)
    conclude(console, "projection", goals, figures, PROTOCOL, complete=complete)


def _accuracy(console: Console, peers: Sequence[Peer], sizes: Sequence[int], figures: dict[str, object]) -> list[Goal]:
    table, poses = accuracy.accuracy_table(peers, sizes), accuracy.pose_table()
    for title, part in (("Error against closed forms, % of maximum: RMSE / max", table), ("Turned, smooth 128", poses)):
        cases = list(part)
        rows = []
        for name in next(iter(part.values())):
            found = [part[case][name] for case in cases]
            rows.append([name, *(f"{e.rmse_percent:.4f} / {e.max_percent:.2f}" if e else "-" for e in found)])
        show(console, title, ["projector", *cases], rows)
        figures[title] = {
            case: {name: asdict(error) if error else None for name, error in row.items()} for case, row in part.items()
        }
    ours = ("ours (Projector)", "ours (native)")
    return accuracy.accuracy_goals(table, poses, ours) + accuracy.exactness_goals()


def _show_times(console: Console, title: str, table: speed.Table, ours: str, figures: dict[str, object]) -> None:
    """One row a projector: median and its ratio to ours."""
    names = list(dict.fromkeys(name for row in table.values() for name in row))
    rows = []
    for name in names:
        cells = [name]
        for row in table.values():
            timing = row.get(name)
            cells.append(f"{timing.median_ms:.1f} ({timing.median_ms / row[ours].median_ms:.1f}x)" if timing else "-")
        rows.append(cells)
    show(console, title, ["projector", *table], rows)
    figures[title] = {case: {name: asdict(timing) for name, timing in row.items()} for case, row in table.items()}


def _pictures(console: Console, ct: Path, peers: Sequence[Peer], threads: int) -> None:
    peer = peers[0]
    RESULTS.mkdir(exist_ok=True)
    for head in ("02", "06"):
        mu_per_mm, spacing_mm = real_head(ct, head)
        scene = Scene(mu_per_mm, spacing_mm, accuracy.detector(512))
        path = RESULTS / f"projection-head-{head}.png"
        ours = OursNative(threads).projection(scene)()
        compare(f"Head {head}", ours, peer.projection(scene)(), peer.name, path)
        console.print(f"Picture: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    typer.run(main)
