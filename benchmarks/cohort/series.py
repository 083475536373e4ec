"""The series that cases are made from: a real head, and a virtual one of the same size."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from client.virtual_hospital import STYLES, write_virtual_archive

REAL = "02"
VIRTUAL_MATRIX, VIRTUAL_SEED = 512, 4


def series_folders(cache: Path, ct: Path | None) -> dict[str, Path]:
    """The folder that holds each series' files, by the name it has in tables; the real head where it is at hand."""
    folders: dict[str, Path] = {}
    if ct is not None:
        packed = next((ct / "dicom").glob(f"{REAL}_*.zip"))
        folders[f"head {REAL}"] = _made_once(cache / f"head-{REAL}", lambda folder: _unpack(packed, folder))
    folders["virtual head"] = _made_once(cache / f"virtual-{VIRTUAL_MATRIX}", _write_virtual)
    return folders


def _made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The one folder with files below ``folder``, which is made whole or not at all."""
    if not folder.exists():
        building = folder.with_name(f"{folder.name}.building")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        make(building)
        building.rename(folder)
    return next(path.parent for path in sorted(folder.rglob("*")) if path.is_file())


def _unpack(packed: Path, folder: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)


def _write_virtual(folder: Path) -> None:
    write_virtual_archive(folder, patients=1, style=STYLES["toshiba"], seed=VIRTUAL_SEED, matrix=VIRTUAL_MATRIX)
