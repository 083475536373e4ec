"""The demo's figures, from the run's own records."""

from __future__ import annotations

from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from common.errors import ExitCode, Refusal
from common.exchange import means_by_name
from common.roles import Role
from common.study import Study
from server.rounds import RoundRecord, RunDirectory

_OTHERWISE = ("generator_on_films", "generator_on_drrs")


@final
class DemoFigures(BaseModel):
    """What the demo reached at its held-out hospital; PSNR and SSIM in the study's HU window.

    ``otherwise`` is the same network on films, or on DRRs where it is shown films, of cases that have both. With
    ``real_heads`` every patient of a hospital is a deformation of one person's head. The mean-volume baseline then
    knows the held-out person, which the network does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    study_sha256: str
    real_heads: bool
    window_hu: tuple[float, float]
    held_out: str
    cases: int
    rounds: int
    psnr_first_db: float
    psnr_last_db: float
    psnr_by_round_db: tuple[float, ...]
    ssim_first: float
    ssim_last: float
    mae_last_hu: float
    psnr_mean_volume_db: float
    psnr_back_projection_db: float
    psnr_otherwise_db: float | None = None
    ssim_otherwise: float | None = None
    seconds: float
    peak_rss_bytes: int


def demo_figures(run: Path, study: Study, seconds: float, peak_rss_bytes: int, *, real_heads: bool) -> DemoFigures:
    """Figures of a finished demo.

    Raises:
        Refusal: ``RUN_INVALID`` if no round was evaluated at a held-out site.
    """
    rounds = [record for record in RunDirectory(run).rounds() if record.aggregated]
    evaluated = [(record, _held_out(record)) for record in rounds]
    curve = [(site, metrics) for _, found in evaluated if found is not None for site, metrics in [found]]
    if not curve:
        mend = "look into the held-out site's log"
        raise Refusal(ExitCode.RUN_INVALID, "no held-out evaluation in any round", where=str(run), mend=mend)
    first, (site, last) = curve[0][1], curve[-1]
    return DemoFigures(
        study_sha256=study.sha256,
        real_heads=real_heads,
        window_hu=(study.window.low_hu, study.window.high_hu),
        held_out=site,
        cases=int(last["generator.cases"]),
        rounds=len(rounds),
        psnr_first_db=first["generator.psnr_db"],
        psnr_last_db=last["generator.psnr_db"],
        psnr_by_round_db=tuple(metrics["generator.psnr_db"] for _, metrics in curve),
        ssim_first=first["generator.ssim"],
        ssim_last=last["generator.ssim"],
        mae_last_hu=last["generator.mae_hu"],
        psnr_mean_volume_db=last["mean_volume.psnr_db"],
        psnr_otherwise_db=_otherwise(last, "psnr_db"),
        ssim_otherwise=_otherwise(last, "ssim"),
        psnr_back_projection_db=last["back_projection.psnr_db"],
        seconds=seconds,
        peak_rss_bytes=peak_rss_bytes,
    )


def show_figures(figures: DemoFigures, console: Console) -> None:
    """Print the figures with their definitions."""
    low, high = figures.window_hu
    table = Table(
        title=f"Held-out hospital '{figures.held_out}', {figures.cases} cases, window {low:g}..{high:g} HU",
        title_justify="left",
    )
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("definition", overflow="fold")
    for row in _rows(figures):
        table.add_row(*row)
    console.print(table)


def _rows(f: DemoFigures) -> list[tuple[str, str, str]]:
    gain, mean, back = (
        f.psnr_last_db - before for before in (f.psnr_first_db, f.psnr_mean_volume_db, f.psnr_back_projection_db)
    )
    return [
        ("PSNR, last round", f"{f.psnr_last_db:.2f} dB", f"mean over cases after round {f.rounds}"),
        ("PSNR, round 1", f"{f.psnr_first_db:.2f} dB", "the same after the first aggregation"),
        ("gain over round 1", f"{gain:+.2f} dB", "difference of the two means"),
        ("mean volume", f"{f.psnr_mean_volume_db:.2f} dB", _mean_volume(f)),
        ("gain over mean volume", f"{mean:+.2f} dB", "difference of the two means"),
        ("back-projection", f"{f.psnr_back_projection_db:.2f} dB", "baseline: unfiltered, both views averaged"),
        ("gain over back-projection", f"{back:+.2f} dB", "difference of the two means"),
        ("SSIM, round 1 → last", f"{f.ssim_first:.3f} → {f.ssim_last:.3f}", "3D Gaussian, 11 voxels, sigma 1.5"),
        ("MAE, last round", f"{f.mae_last_hu:.1f} HU", "whole volume, clipped to the window"),
        ("wall time", f"{f.seconds:.0f} s", "from the command to the report, after installation"),
        ("peak memory", f"{f.peak_rss_bytes / 2**30:.2f} GiB", "sum of RSS over all processes, sampled"),
    ]


def _otherwise(means: dict[str, float], metric: str) -> float | None:
    return next((means[name] for name in (f"{kind}.{metric}" for kind in _OTHERWISE) if name in means), None)


def _mean_volume(figures: DemoFigures) -> str:
    known = "; all are one person, so it knows whom it predicts" if figures.real_heads else ""
    return f"baseline: mean of the site's other cases{known}"


def _held_out(record: RoundRecord) -> tuple[str, dict[str, float]] | None:
    for evaluation in record.evaluation:
        if evaluation.role is Role.EVALUATE and evaluation.methods:
            metrics = means_by_name(evaluation.methods)
            return evaluation.site, metrics | {"generator.cases": float(evaluation.cases)}
    return None
