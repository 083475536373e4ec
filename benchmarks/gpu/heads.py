"""Real heads on the shipped study's grid, prepared where the archive is and carried to the card as bare arrays."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.gpu.studies import shipped
from benchmarks.quality.heads import PERSONS, _write_dicom
from benchmarks.step.worker import FACTS
from client.case import Case
from client.cohort import build_cohort
from client.virtual_hospital import find_head
from common.roles import Role


def read(folder: Path, person: str) -> Case:
    """A prepared head with its radiographs."""
    with np.load(_path(folder, person), allow_pickle=False) as arrays:
        return Case(f"person-{person}", arrays["hu"], arrays["integrals"], FACTS)


def prepare(ct: Path, folder: Path) -> None:
    """Bring every person's CT through the site's own pipeline, radiographs from the CT as it was scanned.

    Args:
        ct: folder of real head CTs.
        folder: where the arrays go, private to this user; no part of the project.

    Raises:
        Refusal: as :func:`client.cohort.build_cohort` does, and where a head is missing.
    """
    study = shipped(tiny=False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for person in PERSONS:
        with tempfile.TemporaryDirectory(prefix="tomoray-head-") as place:
            archive = Path(place) / "archive"
            archive.mkdir()
            _lay_out(find_head(ct, person), archive)
            case = build_cohort(archive, study, Role.EVALUATE, Path(place) / "state").validation[0].load()
            np.savez_compressed(_path(folder, person), hu=case.volume_hu, integrals=case.integrals)


def _lay_out(source: Path, archive: Path) -> None:
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as packed:
            packed.extractall(archive)
    else:
        _write_dicom(source, archive)


def _path(folder: Path, person: str) -> Path:
    return folder / f"head-{person}.npz"


def main(
    ct: Annotated[Path, typer.Argument(help="Folder of real head CTs.")],
    folder: Annotated[Path, typer.Argument(help="Where the prepared heads go.")] = Path("runs/gpu-heads"),
) -> None:
    """Prepare the heads for `python -m benchmarks.gpu quality --heads FOLDER`."""
    prepare(ct, folder)


if __name__ == "__main__":
    typer.run(main)
