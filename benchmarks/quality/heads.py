"""Whole real heads, each brought to the canonical frame by the site's own pipeline."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.quality.store import Store, code_sha256
from client.cohort import build_cohort
from client.virtual_hospital import STYLES, acquire, find_head, read_head, write_series
from common.geometry import Geometry, Grid
from common.roles import Role
from common.study import CohortSettings, Privacy, Study

PERSONS = ("01", "02", "03", "06")
FINE = Grid(shape=(128, 128, 128), voxel_mm=1.8)
CODE = (
    "client/archive",
    "client/case",
    "client/cohort/building.py",
    "client/cohort/examination.py",
    "client/dicom",
    "client/phantom",
    "client/virtual_hospital",
    "common/geometry.py",
    "benchmarks/quality/heads.py",
)
_NIFTI_VOXEL_MM = 1.0
_ROOM_MM = 12.0
# A NIfTI file goes through a scanner that adds as little as a scanner can.
_SCANNER = replace(STYLES["toshiba"], slice_mm=(1.5,), noise_hu=0.0)


def canonical_head(person: str, ct: Path, store: Store) -> Tensor:
    """A person's head on the fine grid, (z, y, x) int16 HU; built once.

    Args:
        person: the head's number.
        ct: folder that holds the heads.
        store: where it is kept.

    Raises:
        Refusal: as :func:`client.cohort.build_cohort` does, and where there is no such head.
    """
    source = find_head(ct, person)
    key = {"person": person, "code": code_sha256(CODE)}
    return store.tensors("heads", key, lambda: {"hu": torch.from_numpy(_build(source))})["hu"]


def heads_sha256(ct: Path) -> str:
    """A hash of every person's files.

    Args:
        ct: folder that holds the heads.

    Raises:
        Refusal: where there is no such head.
    """
    digest = hashlib.sha256()
    for person in PERSONS:
        source = find_head(ct, person)
        files = [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.is_file())
        for file in files:
            digest.update(person.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _build(source: Path) -> NDArray[np.int16]:
    study = Study(
        name="heads",
        grid=FINE,
        geometry=Geometry(detector_shape=(128, 128), pixel_mm=3.0),
        cohort=CohortSettings(minimum_cases=1),
        privacy=Privacy(minimum_cases=1),
    )
    with tempfile.TemporaryDirectory(prefix="tomoray-head-") as folder:
        archive = Path(folder) / "archive"
        archive.mkdir()
        if source.suffix == ".zip":
            with zipfile.ZipFile(source) as packed:
                packed.extractall(archive)
        else:
            _write_dicom(source, archive)
        cohort = build_cohort(archive, study, Role.EVALUATE, Path(folder) / "state")
        volume: NDArray[np.int16] = np.array(cohort.validation[0].load().volume_hu)
    return volume


def _write_dicom(source: Path, archive: Path) -> None:
    head = read_head(source, _NIFTI_VOXEL_MM)
    padded = np.pad(head.volume_hu, round(_ROOM_MM / head.voxel_mm), constant_values=-1000)
    write_series(archive, acquire(padded, head.voxel_mm, _SCANNER, 1), _SCANNER, seed=1, number=1)
