"""``make fuzz``: a long campaign, with its figures at the end; exit code 1 if there are findings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tests.fuzz.campaign import PARENT_GROWTH_BYTES, Campaign, Finding, Report
from tests.fuzz.seeds import real_seeds, sample_seeds, written_seeds

FOLDER = Path("runs") / "fuzz"


def main(
    cases: Annotated[int, typer.Option(help="Mutated files.")] = 50_000,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    campaign: Annotated[int, typer.Option(help="Seed: the same gives the same files.")] = 0,
    ct: Annotated[Path | None, typer.Option(help="Folder of real head CTs: its bad inputs are seeds, too.")] = None,
) -> None:
    """Mutate, send, watch, report."""
    console = Console(width=120)
    real = [] if ct is None else real_seeds(ct)
    report = Report()
    with Campaign(campaign, written_seeds(), sample_seeds(), real) as running, Progress(console=console) as progress:
        task = progress.add_task("mutated files", total=cases)
        for report in running.run(cases, seconds):
            progress.update(task, completed=report.cases, description=f"{len(report.findings)} findings")
    _tell(console, report, campaign)
    sys.exit(1 if report.findings else 0)


def _tell(console: Console, report: Report, campaign: int) -> None:
    for name, counts in (("files", report.verdicts), ("series", report.series_verdicts)):
        told = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
        console.print(f"{name}: {told}", highlight=False)
    for number, finding in enumerate(report.findings):
        console.print(f"finding {number}: {_described(finding)}\n{_kept(finding, number, campaign)}", highlight=False)
    growth = (report.peak_bytes - report.base_bytes) >> 20
    console.print(
        f"fuzz: {'missed' if report.findings else 'met'}: {report.cases} files and {report.series} series in "
        f"{report.seconds:.0f} s ({report.cases / max(report.seconds, 1e-9):.0f} files/s), {len(report.findings)} "
        f"findings; parent's memory {report.base_bytes >> 20} MiB, at most {growth} MiB more "
        f"(limit {PARENT_GROWTH_BYTES >> 20} MiB); campaign {campaign}",
        soft_wrap=True,
        highlight=False,
    )


def _described(finding: Finding) -> str:
    origins = "; ".join(
        f"case {case.number}: {case.seed.name}, {', '.join(case.mutations)}" for case in finding.cases[:3]
    )
    return f"{finding.what} ({origins})"


def _kept(finding: Finding, number: int, campaign: int) -> str:
    """Where the bytes of a finding of one case are written; those made from a patient's are not."""
    if len(finding.cases) != 1 or not finding.cases[0].seed.is_ours:
        return "made again by its campaign and number"
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"finding-{campaign}-{finding.cases[0].number}-{number}.dcm"
    path.write_bytes(finding.cases[0].content)
    return f"written to {path}"


if __name__ == "__main__":
    typer.run(main)
