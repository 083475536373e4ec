"""``tomoray-site cohort`` as the site's engineer runs it, and what of the patients stays on disk and terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from client.cohort import CohortCounts
from client.commands.cohort import place_of
from client.virtual_hospital import STYLES, write_virtual_archive
from common.errors import ExitCode, Refusal

PATIENTS = 3
QUICK = replace(STYLES["picker-rt"], slice_mm=(7.0,))

# A value for every kind of text, date and number that may say who a patient is.
IDENTIFYING = {
    "PatientName": "Bartholomew^Quincey",
    "PatientID": "MRN-55-44-33",
    "IssuerOfPatientID": "Regional Health Trust",
    "OtherPatientNames": ["Quill^Bart", "Quincy^Barth"],
    "PatientBirthDate": "19470213",
    "PatientBirthTime": "031415",
    "PatientAge": "078Y",
    "PatientAddress": "Harbour Lane 117",
    "PatientTelephoneNumbers": "05551-77120",
    "PatientComments": "brother of the mayor",
    "EthnicGroup": "Frisian",
    "Occupation": "light keeper",
    "AccessionNumber": "ACC8827361",
    "StudyID": "SID-99120",
    "StudyDate": "20230817",
    "SeriesDate": "20230818",
    "ContentDate": "20230819",
    "StudyTime": "114523.77",
    "AcquisitionDateTime": "20230817114601.5",
    "StudyDescription": "cct after fall from ladder",
    "SeriesDescription": "nativ h31s bartholomew",
    "ProtocolName": "CCT_Quincey",
    "InstitutionName": "St. Elsewhere Klinikum",
    "InstitutionAddress": "Hospital Road 9",
    "StationName": "CTSCANNER7741",
    "ReferringPhysicianName": "Okonkwo^Adaeze",
    "OperatorsName": "Lindqvist^Maja",
    "PerformingPhysicianName": "Zielinski^Jan",
    "RequestedProcedureDescription": "head without contrast medium",
    "ManufacturerModelName": "Quincey Special 64",
    "DeviceSerialNumber": "SN-0077123",
    "ImageComments": "motion bartholomew",
}


TEXTS = {"PN", "LO", "SH", "DA", "TM", "DT", "UI", "AS", "LT", "ST", "UT", "UC", "AE"}
# Equipment and kinds of object, the same for every patient of a scanner.
OF_NO_PATIENT = {
    "SOPClassUID",
    "MediaStorageSOPClassUID",
    "TransferSyntaxUID",
    "ImplementationClassUID",
    "Manufacturer",
}


def _identify(dataset: Dataset, number: int, series: str, study: str) -> None:
    """Writes who the patient is into a data set, in every place that writers use."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in IDENTIFYING.items():
        setattr(dataset, keyword, value)
    dataset.PatientName, dataset.PatientID = f"Bartholomew^Quincey{number}", f"MRN-55-44-3{number}"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series, study
    dataset.FrameOfReferenceUID = generate_uid()
    referenced = Dataset()
    referenced.ReferencedSOPInstanceUID = generate_uid()
    referenced.PurposeOfReferenceCodeSequence = [Dataset()]
    referenced.PurposeOfReferenceCodeSequence[0].CodeMeaning = f"follow-up of Quincey {number}"
    dataset.ReferencedImageSequence = [referenced]
    dataset.private_block(0x0019, "SECRET VENDOR", create=True).add_new(1, "LO", f"private-{number}-diagnosis")


def _texts(dataset: Dataset) -> set[str]:
    """Every text, date and UID of a data set that is long enough not to occur by chance."""
    found: set[str] = set()
    for element in dataset.iterall():
        if element.VR in TEXTS and element.keyword not in OF_NO_PATIENT:
            values = element.value if element.VM > 1 else [element.value]
            found |= {str(value) for value in values if len(str(value)) > 4}
    return found


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """Three patients with a series each, one of them damaged, and every text in their files and of their paths."""
    source = tmp_path_factory.mktemp("virtual")
    write_virtual_archive(source, patients=PATIENTS, style=QUICK, seed=8, matrix=96)
    archive = tmp_path_factory.mktemp("hospital") / "archive"
    secrets: set[str] = {"QUINCEY_", "Quincey Bartholomew"}
    uids: dict[str, tuple[str, str]] = {}
    for position, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        dataset = dcmread(path)
        series, study = uids.setdefault(dataset.SeriesInstanceUID, (generate_uid(), generate_uid()))
        number = list(uids).index(dataset.SeriesInstanceUID)
        _identify(dataset, number, series, study)
        secrets |= _texts(dataset)
        target = archive / f"Quincey Bartholomew 1947 {number}" / f"QUINCEY_{number}_{position:03d}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(target)
    last = sorted(archive.rglob("*.dcm"))[-1]
    last.write_bytes(last.read_bytes()[:700])
    return archive, secrets


@pytest.fixture(scope="module")
def ran(
    hospital: tuple[Path, set[str]], tmp_path_factory: pytest.TempPathFactory, small_study: str
) -> tuple[Path, subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """State folder, table and JSON of the command over the hospital's archive."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "small.toml").write_text(small_study)
    options = (hospital[0], "--study", folder / "small.toml", "--state", folder / "state")
    return folder / "state", cohort(*options), cohort(*options, "--json")


def cohort(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "tomoray-site"), "cohort", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_the_engineer_sees_what_was_found_and_why_the_rest_was_refused(ran) -> None:
    state, table, _ = ran
    assert table.returncode == 0, table.stderr
    said = " ".join(table.stdout.split())
    assert re.search(r"\b4 found", said)
    assert "2 used; the study needs 2" in said
    assert "1 excluded: a file of the series is damaged or cannot be read" in said
    assert "1 excluded: slices are missing export the whole series" in said
    assert f"page: {state / 'cohort.html'}" in table.stdout
    page = (state / "cohort.html").read_text(encoding="utf-8")
    assert page.count("<article") == 2
    assert (state / "cohort.html").stat().st_mode & 0o777 == 0o600


def test_json_is_one_document_of_counts_and_nothing_else(ran) -> None:
    _, _, said = ran
    counts = CohortCounts.model_validate_json(said.stdout)
    assert said.returncode == 0
    assert said.stderr == ""
    assert (counts.study, counts.minimum_cases, counts.enough) == ("small", 2, True)
    assert (counts.flow.used, counts.scanners, counts.kvp) == (2, {"other": 2}, {"110 to 129 kV": 2})
    assert counts.flow.found == 4
    assert {"residual_hu", "shear_deg", "cut_share", "orientation_margin"} <= set(counts.passed_narrowly)
    assert counts.flow.excluded == {"slice_gaps": "<2", "unreadable": "<2"}


def test_nothing_written_or_said_holds_a_text_of_a_header_or_the_name_of_a_file(ran, hospital) -> None:
    state, *said = ran
    archive, secrets = hospital
    assert len(secrets) > 250
    written = [path for path in state.rglob("*") if path.is_file()]
    assert {"cohort.html", "site-secret", "archive-index"} <= {path.name for path in written}
    everything = {str(path.relative_to(state)): path.read_bytes() for path in written}
    everything |= {f"output {number}": (done.stdout + done.stderr).encode() for number, done in enumerate(said)}
    for name, content in everything.items():
        leaked = [text for text in secrets if text.encode() in content or text in name]
        assert not leaked, (name, leaked)
        assert str(archive).encode() not in content, name
    for path in (state, *state.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_folder_behind_a_pseudonym_is_found_again(ran, hospital) -> None:
    state, *_ = ran
    archive, _ = hospital
    page = (state / "cohort.html").read_text(encoding="utf-8")
    code = {code: name for name, code in re.findall(r"<code>([0-9a-f]{32})</code>.*<td>([a-z_]+)</td>", page)}
    damaged = cohort(archive, "--state", state, "--whereis", code["unreadable"])
    assert damaged.stdout == f"{archive / 'Quincey Bartholomew 1947 2'}\n"
    unknown = cohort(archive, "--state", state, "--whereis", "0" * 32)
    assert (unknown.returncode, unknown.stdout) == (ExitCode.ARCHIVE_EMPTY, "")


def test_too_few_cases_end_with_their_code_after_the_page(ran, hospital, small_study, tmp_path) -> None:
    study = tmp_path / "many.toml"
    study.write_text(small_study.replace("[cohort]\nminimum_cases = 2", "[cohort]\nminimum_cases = 3"))
    done = cohort(hospital[0], "--study", study, "--state", ran[0], "--json")
    assert done.returncode == ExitCode.COHORT_TOO_SMALL
    assert json.loads(done.stdout)["enough"] is False
    assert done.stderr.count("\n") == 1
    assert "2 usable cases" in done.stderr


def test_settings_name_archive_state_and_study(ran, hospital, small_study, tmp_path) -> None:
    (tmp_path / "small.toml").write_text(small_study)
    (tmp_path / "other.toml").write_text(small_study.replace('"small"', '"other"'))
    settings = tmp_path / "site.toml"
    text = (
        f'name = "north"\nrole = "train"\narchive = "{hospital[0]}"\nstate = "{ran[0]}"\nstudies = ["small.toml"]\n'
        '[coordinator]\naddress = "127.0.0.1:1"\nca_certificate = "ca.crt"\nprivate_key = "site.key"\n'
    )
    settings.write_text(text)
    assert json.loads(cohort("--settings", settings, "--json").stdout)["study"] == "small"
    settings.write_text(text.replace('["small.toml"]', '["small.toml", "other.toml"]'))
    several = cohort("--settings", settings)
    assert several.returncode == ExitCode.SETTINGS_INVALID
    assert "--study" in several.stderr
    chosen = cohort("--settings", settings, "--study", tmp_path / "other.toml", "--json")
    assert json.loads(chosen.stdout)["study"] == "other"


@pytest.mark.parametrize("given", [(), ("folder",), ("settings", "folder", "state"), ("state",)])
def test_an_archive_that_is_not_clear_is_refused(given) -> None:
    places = {name: Path(name) if name in given else None for name in ("settings", "folder", "state")}
    with pytest.raises(Refusal, match="FOLDER with --state") as refusal:
        place_of(**places, refresh=False)
    assert refusal.value.code is ExitCode.SETTINGS_INVALID


# Holds one case and not two.
@pytest.mark.parametrize("small_disk", [128], indirect=True)
def test_a_full_disk_is_one_line_and_what_was_built_stays_valid(small_disk, hospital, small_study, tmp_path) -> None:
    study = tmp_path / "small.toml"
    study.write_text(small_study)
    done = cohort(hospital[0], "--study", study, "--state", small_disk)
    assert done.returncode == ExitCode.DISK_FULL, done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(small_disk.rglob("*.tmp"))
    kept = sorted(small_disk.rglob("*.safetensors"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert cohort(hospital[0], "--study", study, "--state", small_disk).returncode == 0
    assert kept[0].stat().st_mtime_ns == before
    assert len(list(small_disk.rglob("*.safetensors"))) == 2
