"""Writing a stand-in archive from the command line, with progress."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from client.virtual_hospital import STYLES, find_head, write_virtual_archive
from common.errors import ExitCode, Refusal
from common.progress_bar import progress_bar


def write_archive(
    folder: Path, *, patients: int, style: str, seed: int, head: Path | None, head_id: str, matrix: int
) -> None:
    """Write the archive and say what was written; ``style`` ``list`` names the scanner styles instead.

    With ``head_id``, ``head`` is a folder of heads and the one whose name begins with ``<head_id>_`` is taken.

    Raises:
        Refusal: ``SETTINGS_INVALID`` for an unknown style, and what writing refuses.
    """
    console = Console()
    if style == "list":
        for name, known in STYLES.items():
            console.print(f"{name}: {known.manufacturer} {known.model}", highlight=False)
        return
    if style not in STYLES:
        mend = f"choose one of {', '.join(STYLES)}"
        raise Refusal(ExitCode.SETTINGS_INVALID, "unknown scanner style", where=style, mend=mend)
    with progress_bar(console) as bar:
        task = bar.add_task("virtual patients", total=patients)
        archive = write_virtual_archive(
            folder,
            patients=patients,
            style=STYLES[style],
            seed=seed,
            head=find_head(head, head_id) if head and head_id else head,
            matrix=matrix,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print(f"{archive.patients} patients, {archive.files} files in {folder}", highlight=False, soft_wrap=True)
