"""``tomoray-coordinator``: admit sites, run a study, release its network, try it all on one machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from common.console import run_command, stop_on_signals
from common.roles import Role

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Settings = Annotated[Path, typer.Option("--settings", help="The coordinator's settings (TOML).")]


@app.command()
def start(settings: Settings) -> None:
    """Start the study, or resume it where it stood, and run it to its end."""
    from server.coordinator import Coordinator, CoordinatorSettings, RunView

    chosen = CoordinatorSettings.from_toml(settings)
    with RunView(chosen.run / "events.jsonl") as view:
        Coordinator(chosen, stop_on_signals(), view.refresh).run()
    typer.echo(f"report: {chosen.run / 'report.html'}")


@app.command()
def admit(
    name: Annotated[str, typer.Argument(help="The site's name: lower-case letters, digits, hyphens.")],
    role: Annotated[Role, typer.Argument(help="train, or evaluate for a held-out site.")],
    public_key: Annotated[Path, typer.Argument(help="The site's public key file, from 'tomoray-site init'.")],
    admissions: Annotated[Path, typer.Option(help="File to add the site to.")] = Path("sites.toml"),
) -> None:
    """Admit a site with its public key and role."""
    from server.consortium import add_admission

    site = add_admission(admissions, name, role, public_key)
    typer.echo(f"admitted {site.name} as {site.role.value}; key SHA-256 {site.key_sha256}")


@app.command()
def study(path: Annotated[Path, typer.Argument(help="Study file (TOML).")]) -> None:
    """Check a study and print its hash, which sites approve."""
    from common.study import Study

    loaded = Study.from_toml(path)
    typer.echo(f"{loaded.sha256}  {loaded.name}")


@app.command()
def release(
    run: Annotated[Path, typer.Argument(help="Directory of a run: the one that holds run.json.")],
    number: Annotated[
        int | None, typer.Option("--round", min=1, help="Round to release; the last averaged if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New folder; RUN/releases/round-NNNNNN if left out.")] = None,
    settings: Settings = Path("coordinator.toml"),
    reprojection_limit: Annotated[
        float | None, typer.Option(help="Re-projection error above which a volume is not to be shown.")
    ] = None,
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The card's date; today (UTC) if left out.")
    ] = None,
) -> None:
    """Write a signed release of a run's generator: weights, card, checksums, signature."""
    from server.coordinator import CoordinatorSettings
    from server.release import make_release

    key = CoordinatorSettings.from_toml(settings).signing_key()
    made_on = (date or datetime.now(UTC)).date()
    typer.echo(make_release(run, out, key, made_on, number=number, reprojection_limit=reprojection_limit))


@app.command("release-key")
def release_key(settings: Settings = Path("coordinator.toml")) -> None:
    """Print the public half of the key that signs releases, made when first needed; sites pin it."""
    from common.release import release_key_of
    from server.coordinator import CoordinatorSettings

    key = release_key_of(CoordinatorSettings.from_toml(settings).signing_key())
    typer.echo(f"{key.openssh}\nkey SHA-256: {key.sha256}")


@app.command()
def demo(
    ct: Annotated[Path | None, typer.Option(help="Folder with real head CTs; procedural heads without it.")] = None,
    heads: Annotated[str, typer.Option(help="With --ct: file prefixes of three training heads and the held-out.")] = (
        "01,02,03,06"
    ),
    output: Annotated[Path, typer.Option(help="Folder of the demo; replaced where it exists.")] = Path("runs/demo"),
    study_file: Annotated[Path, typer.Option("--study", help="Study to run.")] = Path("configs/demo.toml"),
    port: Annotated[int, typer.Option(help="Loopback port; 0 takes a free one.")] = 0,
    patients: Annotated[int | None, typer.Option(min=2, help="Virtual patients of every hospital.")] = None,
) -> None:
    """Run everything on this machine: three training hospitals and one held-out, as real processes on loopback."""
    from server.demo import Demo, DemoPlan

    plan = DemoPlan(study=study_file, output=output, ct=ct, heads=tuple(heads.split(",")), port=port, patients=patients)
    Demo(plan, stop_on_signals()).run()


@app.command("demo-xray")
def demo_xray(
    output: Annotated[Path, typer.Option(help="Folder of the demo; replaced where it exists.")] = Path(
        "runs/demo-xray"
    ),
    study_file: Annotated[Path, typer.Option("--study", help="Study to run.")] = Path("configs/demo-xray.toml"),
    patients: Annotated[int | None, typer.Option(min=2, help="Virtual patients of every hospital.")] = None,
) -> None:
    """Two networks at three hospitals with films, one held out: of DRRs alone, and of films; side by side."""
    from server.demo import FilmDemo

    FilmDemo(study_file, output, patients, stop_on_signals()).run()


def main() -> None:
    """Entry point of ``tomoray-coordinator``."""
    run_command("tomoray-coordinator", app)
