"""Writes series as true DICOM, and finds the real heads."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from client.cohort import Cohort, CohortProgress, build_cohort, case_store
from client.phantom.anatomy import template_head
from common.geometry import Geometry, Grid
from common.roles import Role
from common.study import CohortSettings, Study
from tests import absences
from tests.client.heads import COUNT, vary
from tests.client.looking import settle

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PHI = ("SECRETNAME^PATIENT", "MRN-7741-SECRET", "19610704", "SECRETHOSPITAL", "SECRETDOCTOR^REFERRING", "SECRET-ACC-99")


@dataclass
class SeriesWriter:
    """A series to be written: change what should be wrong with it, then write it.

    ``hu`` is (slice, row, column); ``origins`` is (slice, 3), one Image Position (Patient) for each slice.
    """

    hu: NDArray[Any]
    origins: NDArray[Any]
    spacing_mm: tuple[float, float]
    orientation: Sequence[float] = AXIAL
    intercept: float = -1024.0
    patient_id: str = PHI[1]
    series_uid: str = field(default_factory=generate_uid)
    study_uid: str = field(default_factory=generate_uid)
    tags: dict[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    sop_class: UID = CTImageStorage
    edit: Callable[[FileDataset, int], None] | None = None
    syntax: UID = ExplicitVRLittleEndian

    def write(self, folder: Path, order: Sequence[int] | None = None) -> list[Path]:
        """One file per slice, named without meaning, in the order given."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, index in enumerate(order if order is not None else range(len(self.hu))):
            path = folder / f"o{number:05d}"
            dataset = self._dataset(path, index)
            if self.edit is not None:
                self.edit(dataset, index)
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    def _dataset(self, path: Path, index: int) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = self.sop_class
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[self.series_uid, str(index)])
        meta.TransferSyntaxUID = self.syntax
        encoding = {"is_implicit_VR": self.syntax.is_implicit_VR, "is_little_endian": self.syntax.is_little_endian}
        dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, **encoding)
        stored = np.rint(self.hu[index] - self.intercept).astype(np.int16)
        values: dict[str, Any] = {
            "SOPClassUID": self.sop_class,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": self.study_uid,
            "SeriesInstanceUID": self.series_uid,
            "PatientName": PHI[0],
            "PatientID": self.patient_id,
            "PatientBirthDate": PHI[2],
            "InstitutionName": PHI[3],
            "ReferringPhysicianName": PHI[4],
            "AccessionNumber": PHI[5],
            "Modality": "CT",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "Manufacturer": "SIEMENS",
            "KVP": "120",
            "InstanceNumber": str(index + 1),
            "ImageOrientationPatient": [round(float(v), 6) for v in self.orientation],
            "ImagePositionPatient": [round(float(v), 4) for v in self.origins[index]],
            "PixelSpacing": [round(float(v), 5) for v in self.spacing_mm],
            "RescaleSlope": "1",
            "RescaleIntercept": str(self.intercept),
            "Rows": stored.shape[0],
            "Columns": stored.shape[1],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
        }
        values.update(self.tags)
        for keyword, value in values.items():
            if keyword not in self.drop:
                setattr(dataset, keyword, value)
        if "PixelData" not in self.drop:
            dataset.PixelData = stored.tobytes()
        return dataset


def axial_origins(slices: int, step_mm: float, corner: Sequence[float] = (-100.0, -120.0, -60.0)) -> NDArray[Any]:
    """Origins of an untilted axial series."""
    return np.array([[corner[0], corner[1], corner[2] + index * step_mm] for index in range(slices)])


@pytest.fixture(scope="session")
def series() -> Callable[..., SeriesWriter]:
    """Makes a writer; by default 40 slices of 64 x 64 pixels, 4 mm apart, of a plain ball of water in air."""

    def make(hu: NDArray[Any] | None = None, **changes: Any) -> SeriesWriter:
        if hu is None:
            z, y, x = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 64), np.linspace(-1, 1, 64), indexing="ij")
            hu = np.where(z**2 + y**2 + x**2 < 0.6, 40.0, -1000.0)
        changes.setdefault("origins", axial_origins(len(hu), 4.0))
        changes.setdefault("spacing_mm", (3.5, 3.5))
        return SeriesWriter(hu, **changes)

    return make


@pytest.fixture(scope="session")
def head_hu() -> NDArray[np.int16]:
    """The template head in slices of 6 mm and pixels of 3 mm, (40, 80, 64): small enough to be written often."""
    thin = template_head(Grid(shape=(80, 80, 64), voxel_mm=3.0))
    return np.rint((thin[::2].astype(np.float32) + thin[1::2]) / 2).astype(np.int16)


@pytest.fixture(scope="session")
def head_series(head_hu: NDArray[np.int16], series: Callable[..., SeriesWriter]) -> Callable[..., SeriesWriter]:
    """Makes a writer of the template head: every series a head that quality control accepts."""

    def make(**changes: Any) -> SeriesWriter:
        changes.setdefault("origins", axial_origins(len(head_hu), 6.0, (-94.5, -118.5, -117.0)))
        return series(head_hu, spacing_mm=(3.0, 3.0), **changes)

    return make


@pytest.fixture(scope="session")
def archive_study() -> Study:
    """A study with a grid of 32 voxels of 7.5 mm and small radiographs."""
    return Study(
        name="archive-tests",
        grid=Grid(shape=(32, 32, 32), voxel_mm=7.5),
        geometry=Geometry(detector_shape=(48, 48), pixel_mm=8.0),
        cohort=CohortSettings(minimum_cases=1),
    )


@pytest.fixture(scope="session")
def heads(
    head_hu: NDArray[np.int16],
    head_series: Callable[..., SeriesWriter],
    series: Callable[..., SeriesWriter],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Three patients with a head each, one of them with a second, coarser series, and a series that is no CT."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(COUNT):
        writer = head_series(patient_id=f"SECRET-{number}")
        writer.hu = vary(head_hu, number)
        writer.write(folder / f"SECRETNAME{number}" / "s")
    again = head_series(patient_id="SECRET-0")
    again.hu = vary(head_hu, 0)[2:]
    again.origins = again.origins[2:]
    again.write(folder / "again")
    series(tags={"Modality": "MR"}, sop_class="1.2.840.10008.5.1.4.1.1.4").write(folder / "SECRETMAGNET", [0, 1])
    return folder


@pytest.fixture(scope="session")
def built(
    heads: Path, archive_study: Study, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Cohort, Path, list[CohortProgress]]:
    """The cohort of these heads, the state folder it was built in, and the progress that was shown."""
    state = tmp_path_factory.mktemp("state")
    seen: list[CohortProgress] = []
    return build_cohort(heads, archive_study, Role.TRAIN, state, seen.append), state, seen


@pytest.fixture
def no_building(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a case is built."""

    def fail(*arguments: object) -> None:
        raise AssertionError("a case was built again")

    monkeypatch.setattr(case_store, "construct_case", fail)


@pytest.fixture
def mixed(series: Callable[..., SeriesWriter], tmp_path: Path) -> Path:
    """Two series in folders of their own and a third that shares one, with other files and a damaged one; settled."""
    root = tmp_path / "ARCHIVENAME"
    series().write(root / "FOLDERNAME" / "one", range(4))
    series().write(root / "FOLDERNAME" / "two", range(3))
    series(patient_id="other").write(root / "FOLDERNAME" / "two" / "three", [5])
    (root / "FOLDERNAME" / "notes.txt").write_text("no image " * 50)
    (root / "FOLDERNAME" / "two" / "bad").write_bytes((root / "FOLDERNAME" / "two" / "o00000").read_bytes()[:150])
    settle()
    return root


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Where the index of an archive is kept."""
    return tmp_path / "state" / "archive.index"


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """The folder of real head CTs."""
    if not absences.REAL_HEADS_FOLDER.is_dir():
        pytest.skip(absences.REAL_HEADS)
    return absences.REAL_HEADS_FOLDER


@pytest.fixture(scope="session")
def archive_faults() -> Path:
    """The folder of series with one fault each."""
    if not absences.ARCHIVE_FAULTS_FOLDER.is_dir():
        pytest.skip(absences.ARCHIVE_FAULTS)
    return absences.ARCHIVE_FAULTS_FOLDER


@pytest.fixture(scope="session")
def unzipped(real_ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks a zip of the real CTs once and gives its folder."""
    done: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in done:
            folder = tmp_path_factory.mktemp("real")
            with zipfile.ZipFile(real_ct / name) as archive:
                archive.extractall(folder)
            done[name] = folder
        return done[name]

    return unpack
