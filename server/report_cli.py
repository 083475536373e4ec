"""``tomoray-report``: writes report.html and report.json of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.console import run_command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Directory of a run: the one that holds run.json.")],
    output: Annotated[Path | None, typer.Option(help="Folder for the report; the run's directory if left out.")] = None,
) -> None:
    """Write the evaluation round report of a run: report.html and report.json."""
    from server.report import write_report

    paths = write_report(run, output)
    typer.echo(paths.html)
    typer.echo(paths.json)


def main() -> None:
    """Entry point; a refusal is one line on stderr and its exit code."""
    run_command("tomoray-report", app)
