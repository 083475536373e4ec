"""Writing a stand-in archive from the command line, with progress."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from client.virtual_films import write_virtual_films
from client.virtual_hospital import FAULTS, STYLES, Fault, VirtualAnatomy, find_head, write_virtual_archive
from common.errors import ExitCode, Refusal
from common.progress_bar import progress_bar


def write_archive(
    folder: Path,
    *,
    patients: int,
    style: str,
    seed: int,
    head: Path | None,
    head_id: str,
    matrix: int,
    faults: tuple[str, ...] = (),
    films: bool = False,
) -> None:
    """Write the archive and say what was written; ``list`` for a style or a fault names what there is instead.

    With ``head_id``, ``head`` is a folder of heads and the one whose name begins with ``<head_id>_`` is taken.

    Raises:
        Refusal: ``SETTINGS_INVALID`` for an unknown style or fault, and what writing refuses.
    """
    console = Console()
    if style == "list":
        for name, scanner in STYLES.items():
            console.print(f"{name}: {scanner.manufacturer} {scanner.model}", highlight=False)
        return
    if "list" in faults:
        for name, known in FAULTS.items():
            console.print(f"{name}: {known.text}", highlight=False, soft_wrap=True)
        return
    if style not in STYLES:
        mend = f"choose one of {', '.join(STYLES)}"
        raise Refusal(ExitCode.SETTINGS_INVALID, "unknown scanner style", where=style, mend=mend)
    source = find_head(head, head_id) if head and head_id else head
    with progress_bar(console) as bar:
        task = bar.add_task("virtual patients", total=patients)
        archive = write_virtual_archive(
            folder,
            patients=patients,
            style=STYLES[style],
            seed=seed,
            head=source,
            matrix=matrix,
            faults=_chosen(faults),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        written = 0
        if films:
            of_films = bar.add_task("their films", total=patients)
            written = write_virtual_films(
                folder,
                VirtualAnatomy(STYLES[style], seed, source, matrix),
                patients,
                progress=lambda done, total: bar.update(of_films, completed=done, total=total),
            )
    console.print(
        f"{archive.patients} patients, {archive.files + written} files in {folder}", highlight=False, soft_wrap=True
    )


def _chosen(names: tuple[str, ...]) -> list[Fault]:
    if "all" in names:
        return list(FAULTS.values())
    for name in names:
        if name not in FAULTS:
            mend = "name one of those that '--fault list' prints"
            raise Refusal(ExitCode.SETTINGS_INVALID, "unknown fault", where=name, mend=mend)
    return [FAULTS[name] for name in names]
