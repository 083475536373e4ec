"""A site's DICOM: the folder it names, or its copy of what a PACS has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from client.cohort import examine
from client.settings import SiteSettings
from client.source import archive_folder
from common.geometry import Geometry, Grid
from common.study import CohortSettings, Study
from tests.client.pacs.orthanc import PHI, Orthanc, contents

TOML = """
name = "north"
role = "train"
{source}
state = "state"
studies = ["a.toml"]
[coordinator]
address = "127.0.0.1:1"
ca_certificate = "ca.crt"
private_key = "site.key"
{table}
"""


def _settings(folder: Path, source: str = "", table: str = "") -> SiteSettings:
    (folder / "site.toml").write_text(TOML.format(source=source, table=table))
    return SiteSettings.from_toml(folder / "site.toml")


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert archive_folder(_settings(tmp_path, source='archive = "ct"')) == tmp_path / "ct"
    assert not (tmp_path / "state").exists()


@pytest.mark.orthanc
def test_a_cohort_is_made_of_what_a_pacs_has(
    new_orthanc: Callable[..., Orthanc], fill: Callable[..., object], tmp_path: Path
) -> None:
    orthanc = new_orthanc()
    fill(orthanc, 5)
    fill(orthanc, 2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    table = (
        f'[pacs]\nurl = "http://127.0.0.1:{orthanc.port}/dicom-web"\n'
        f'user = "tomoray"\npassword_file = "{orthanc.folder}/password"\npatience_seconds = 5\n'
    )
    settings = _settings(tmp_path, table=table)
    folder = archive_folder(settings)
    assert folder.is_relative_to(tmp_path / "state")
    assert len(contents(folder)) == 7
    study = Study(
        name="from-a-pacs",
        grid=Grid(shape=(32, 32, 32), voxel_mm=7.5),
        geometry=Geometry(detector_shape=(48, 48), pixel_mm=8.0),
        cohort=CohortSettings(minimum_cases=1),
    )
    findings = examine(folder, study, settings.state, workers=1)
    assert sorted(len(contents(path)) for path in folder.iterdir()) == [2, 5]
    assert findings.flow.found == 2
    assert {verdict.code.value for verdict in findings.verdicts} == {"localizer_or_derived", "too_few_slices"}
    assert len({verdict.patient for verdict in findings.verdicts}) == 1
    assert PHI["PatientID"].encode() not in b"".join(contents(tmp_path / "state").values())
