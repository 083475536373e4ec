"""A planning CT for radiotherapy as a source: its couch and what stands off the skin are gone before heads are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from client.archive import VerdictCode
from client.cohort import examine
from client.commands.virtual_archive import write_archive
from client.virtual_hospital import STYLES, write_virtual_archive
from client.virtual_hospital.head_source import read_head
from common.study import CohortSettings, Study

VOXEL_MM = 2.0
CORE_HU, FOAM_HU = (-960, -840), -150


@pytest.fixture(scope="module", params=["carbon", "foam"])
def planning_ct(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A head with a mask on a couch from edge to edge, scanned, and its series made a NIfTI file by another reader.

    The couch is of two skins of carbon around a core of hardly anything, or that core is foam as dense as fat.
    """
    folder = tmp_path_factory.mktemp("planning")
    write_virtual_archive(folder / "series", patients=1, style=STYLES["radiotherapy"], seed=3, matrix=512)
    files = [path for path in (folder / "series").rglob("*") if path.is_file()]
    height = {path: float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in files}
    image = sitk.ReadImage([str(path) for path in sorted(files, key=height.__getitem__)])
    if request.param == "foam":
        hu = sitk.GetArrayFromImage(image)
        filled = sitk.GetImageFromArray(np.where((hu > CORE_HU[0]) & (hu < CORE_HU[1]), np.int16(FOAM_HU), hu))
        filled.CopyInformation(image)
        image = filled
    path = folder / "1_planning.nii.gz"
    sitk.WriteImage(image, str(path))
    return path


def test_the_couch_is_gone_before_a_head_is_deformed(planning_ct: Path) -> None:
    scanned = sitk.GetArrayFromImage(sitk.ReadImage(str(planning_ct)))
    wide = (scanned[len(scanned) // 2] > -300).sum(axis=1).max() * STYLES["radiotherapy"].pixel_mm
    assert wide > 350.0, "the couch of the source is no couch"
    volume = read_head(planning_ct, VOXEL_MM).volume_hu
    tissue = volume > -300
    assert tissue.sum(axis=2).max() * VOXEL_MM < 210.0
    upper = volume[len(volume) // 2 :]
    hindmost_bone = int(np.flatnonzero((upper > 700).any(axis=(0, 2)))[-1])
    assert (upper[:, hindmost_bone + round(20 / VOXEL_MM) :] > -300).mean() < 0.001


@pytest.mark.parametrize("style", ["toshiba", "radiotherapy"])
def test_heads_made_of_a_planning_ct_are_accepted(
    planning_ct: Path, archive_study: Study, tmp_path: Path, style: str
) -> None:
    archive = tmp_path / "archive"
    write_archive(archive, patients=1, style=style, seed=7, head=planning_ct, head_id="", matrix=256)
    limits = archive_study.model_copy(update={"cohort": CohortSettings(minimum_cases=1)})
    findings = examine(archive, limits, tmp_path / "state", workers=1)
    assert [verdict.code for verdict in findings.verdicts] == [VerdictCode.ACCEPTED]
    assert [file.load().facts.cut_share for file in findings.cases] == [0.0]
