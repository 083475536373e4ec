"""``tomoray-site``: join a consortium, train on this hospital's own archive, and see what left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.console import run_command

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
ledger_app = typer.Typer(no_args_is_help=True, help="What came to this site and what left it.")
app.add_typer(ledger_app, name="ledger")
release_app = typer.Typer(no_args_is_help=True, help="Networks that the coordinator released.")
app.add_typer(release_app, name="release")

Settings = Annotated[Path, typer.Option("--settings", help="The site's settings (TOML).")]
State = Annotated[Path, typer.Argument(help="The site's state folder.")]


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder for the key pair.")]) -> None:
    """Make this site's key pair. Send site.pub to the coordinator; site.key never leaves."""
    from client.commands import init as command

    command.make_identity(folder)


@app.command()
def start(settings: Settings) -> None:
    """Build the cohort, connect, and take part in the approved studies until stopped."""
    from client.commands import start as command

    command.run_site(settings)


@app.command()
def cohort(
    folder: Annotated[Path | None, typer.Argument(help="Archive to look at, where there are no settings yet.")] = None,
    settings: Annotated[Path | None, typer.Option(help="The site's settings (TOML).")] = None,
    study: Annotated[Path | None, typer.Option(help="Study (TOML); by default the only one in the settings.")] = None,
    state: Annotated[Path | None, typer.Option(help="Private folder for cases and page, with FOLDER.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the counts that may be reported.")] = False,
    whereis: Annotated[str | None, typer.Option(help="Print the folder behind a pseudonym instead.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; by default what pays.")] = None,
) -> None:
    """Check the archive, build the cases, and write the cohort page. Nothing leaves the site."""
    from client.commands import cohort as command

    place = command.place_of(settings, folder, state, refresh=whereis is None)
    if whereis is not None:
        command.show_whereabouts(place, whereis)
    else:
        command.show_cohort(place, command.study_of(settings, study), as_json=as_json, workers=workers)


@app.command("virtual-archive")
def virtual_archive(
    folder: Annotated[Path, typer.Argument(help="Folder to write DICOM into.")],
    patients: Annotated[int, typer.Option(min=1, max=10_000, help="Virtual patients.")] = 12,
    style: Annotated[str, typer.Option(help="Scanner style; 'list' names them.")] = "toshiba",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 1,
    head: Annotated[
        Path | None, typer.Option(help="Real head (DICOM folder, zip, or NIfTI) to deform; procedural without it.")
    ] = None,
    head_id: Annotated[str, typer.Option(help="Of a folder of heads, the one whose name starts with ID_.")] = "",
    matrix: Annotated[int, typer.Option(min=64, max=1024, help="Pixels along an image's edge.")] = 256,
    fault: Annotated[
        list[str] | None, typer.Option(help="Of a last patient each, one fault; 'list' names them, 'all' takes all.")
    ] = None,
    films: Annotated[bool, typer.Option(help="Write a frontal and a lateral film of every patient as well.")] = False,
) -> None:
    """Write a stand-in archive of virtual patients as true DICOM CT series, with --films their radiographs too."""
    from client.commands import virtual_archive as command

    command.write_archive(
        folder,
        patients=patients,
        style=style,
        seed=seed,
        head=head,
        head_id=head_id,
        matrix=matrix,
        faults=tuple(fault or ()),
        films=films,
    )


@app.command()
def synthesize(
    films: Annotated[
        list[Path], typer.Argument(help="Frontal and lateral film: DICOM files or folders, in any order.")
    ],
    model: Annotated[Path, typer.Option(help="Release of a network: a folder that holds SHA256SUMS.")],
    out: Annotated[Path, typer.Option(help="New folder for the series and all that belongs to it.")],
    key: Annotated[Path | None, typer.Option(help="The coordinator's public key for releases (release.pub).")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="The site's settings, whose pinned key is used; by default site.toml here.")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="Study (TOML) that the release must be of.")] = None,
    refine_pose: Annotated[bool, typer.Option(help="Register each film to the average head first.")] = True,
    de_identified: Annotated[
        bool, typer.Option("--de-identified", help="Nobody's series, instead of the films' patient's and study's.")
    ] = False,
    burn_in: Annotated[bool, typer.Option("--burn-in", help="Write the mark into a corner of each slice.")] = False,
    send: Annotated[str | None, typer.Option(help="Then send the DICOM files to this destination in settings.")] = None,
) -> None:
    """Write a synthetic CT of two films as DICOM, marked for research only. It stays here."""
    from client.commands import synthesize as command

    command.synthesize_films(
        films,
        model,
        out,
        key=key,
        settings=command.settings_of(settings, key),
        study=study,
        refine_poses=refine_pose,
        de_identified=de_identified,
        burn_in=burn_in,
        send=send,
    )


@app.command("synthesize-cohort")
def synthesize_cohort(
    settings: Settings,
    study: Annotated[Path, typer.Option(help="An approved study (TOML).")],
    output: Annotated[Path, typer.Option(help="New folder for the DICOM series.")],
    release: Annotated[Path | None, typer.Option(help="Release of a network, verified with the pinned key.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Or loose weights: a checkpoint's generator.")] = None,
    cases: Annotated[int, typer.Option(min=1, help="Write at most this many.")] = 10,
) -> None:
    """Write synthetic CT of this site's evaluation cases as DICOM, marked for research only. It stays here."""
    from client.commands import synthesize_cohort as command

    source = command.GeneratorSource(weights=weights, release=release)
    for folder in command.synthesize_cases(settings, study, source, output, cases):
        typer.echo(folder)


@ledger_app.command("verify")
def ledger_verify(
    place: Annotated[Path, typer.Argument(help="The site's state folder, or an exported ledger.")],
) -> None:
    """Verify chain, signatures and the coordinator's countersignatures. An exported ledger needs no site."""
    from client.commands import ledger as command

    command.verify(place)


@ledger_app.command("export")
def ledger_export(state: State, file: Annotated[Path, typer.Argument(help="File to write.")]) -> None:
    """Write the ledger as one file for an auditor, who verifies it with 'tomoray-site ledger verify FILE'."""
    from client.commands import ledger as command

    command.write_export(state, file)


@ledger_app.command("show")
def ledger_show(state: State) -> None:
    """One line for each arrival and departure: when, what, how many bytes."""
    from client.commands import ledger as command

    command.show(state)


@release_app.command("verify")
def release_verify(
    folder: Annotated[Path, typer.Argument(help="The release: a folder that holds SHA256SUMS.")],
    key: Annotated[Path | None, typer.Option(help="The coordinator's public key for releases (release.pub).")] = None,
    settings: Annotated[Path | None, typer.Option(help="The site's settings, whose pinned key is used.")] = None,
    study: Annotated[Path | None, typer.Option(help="Study (TOML) that the release must be of.")] = None,
) -> None:
    """Verify signature, files, card and weights of a release. Needs no network."""
    from client.commands import release as command

    command.verify(folder, key, settings, study)


def main() -> None:
    """Entry point of ``tomoray-site``."""
    run_command("tomoray-site", app)
