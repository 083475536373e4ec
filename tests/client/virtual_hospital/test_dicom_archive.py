import errno
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.uid import UID

from client.archive.discovery import discover
from client.archive.pseudonym import Pseudonyms
from client.phantom.anatomy import template_head
from client.virtual_hospital.dicom_archive import VirtualArchive, write_series, write_virtual_archive
from client.virtual_hospital.scanner_style import STYLES, Acquisition, ScannerStyle, acquire
from common.errors import ExitCode, Refusal
from common.geometry import Grid

QUICK = replace(STYLES["toshiba"], slice_mm=(8.0,))
GRID = Grid(shape=(40, 60, 58), voxel_mm=4.0)
MARKER_MM = (32.0, -20.0, 12.0)
EVERY_STYLE = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)

# Types 1 and 2 of the CT Image IOD: PS3.3 A.3.3 and the modules it names.
REQUIRED = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("ImageType", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "PixelData", "PixelSpacing", "ImageOrientationPatient"),
    *("ImagePositionPatient", "RescaleIntercept", "RescaleSlope"),
]
MAY_BE_EMPTY = [
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("ReferringPhysicianName", "AccessionNumber", "SeriesNumber", "PatientPosition", "PositionReferenceIndicator"),
    *("Manufacturer", "InstanceNumber", "SliceThickness", "KVP", "AcquisitionNumber"),
]


def tree_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def marked_scan(style: ScannerStyle) -> Acquisition:
    z, y, x = np.meshgrid(*[GRID.centres_mm(axis) for axis in range(3)], indexing="ij")
    volume = np.where(np.hypot(x, y) < 85.0, 30, -1000)
    a, b, c = MARKER_MM
    volume[(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < 9.0**2] = 2500
    return acquire(volume.astype(np.int16), GRID.voxel_mm, style, 1, matrix=128)


def table_shift_mm(root: Path, acquisition: Acquisition) -> float:
    """z of the written series less z of the scan; x and y are kept."""
    lowest = min(float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in files_of(root))
    return lowest - float(acquisition.positions_mm[0, 2])


def bright_centre_mm(images: list[sitk.Image]) -> NDArray[np.float64]:
    places = [
        image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
        for image in images
        for index in np.argwhere(sitk.GetArrayViewFromImage(image) > 1200)
    ]
    return np.asarray(np.mean(places, axis=0), dtype=np.float64)


@EVERY_STYLE
def test_another_reader_finds_left_where_left_was(style: ScannerStyle, tmp_path: Path) -> None:
    acquisition = marked_scan(style)
    write_series(tmp_path, acquisition, style, seed=1, number=1)
    shift = table_shift_mm(tmp_path, acquisition)
    # One image per slice: ITK's series reader cannot express the shear of a tilted stack.
    images = [sitk.ReadImage(str(path)) for path in files_of(tmp_path)]
    centre = bright_centre_mm(images) - [0.0, 0.0, shift]
    assert np.allclose(centre, MARKER_MM, atol=0.5 * max(style.slice_mm))


def test_the_series_reader_stacks_the_slices_in_order(tmp_path: Path) -> None:
    acquisition = marked_scan(QUICK)
    write_series(tmp_path, acquisition, QUICK, seed=1, number=1)
    folder = files_of(tmp_path)[0].parent
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    volume = sitk.ReadImage(names)
    centre = bright_centre_mm([volume]) - [0.0, 0.0, table_shift_mm(tmp_path, acquisition)]
    assert np.allclose(centre, MARKER_MM, atol=4.0)
    assert volume.GetSpacing() == pytest.approx((0.527 * 4, 0.527 * 4, 8.0), abs=1e-4)
    assert np.allclose(np.reshape(volume.GetDirection(), (3, 3)), np.eye(3))


@EVERY_STYLE
def test_hounsfield_units_survive_the_rescale(style: ScannerStyle, tmp_path: Path) -> None:
    acquisition = marked_scan(style)
    assert write_series(tmp_path, acquisition, style, seed=1, number=1) == len(acquisition.slices_hu)
    datasets = sorted((pydicom.dcmread(path) for path in files_of(tmp_path)), key=lambda d: int(d.InstanceNumber))
    for dataset, plane in zip(datasets, acquisition.slices_hu, strict=True):
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.array_equal(hu, plane)
        assert dataset.PixelPaddingValue == dataset.pixel_array[0, 0]


@EVERY_STYLE
def test_every_file_is_a_conforming_ct_image(style: ScannerStyle, tmp_path: Path) -> None:
    acquisition = marked_scan(style)
    write_series(tmp_path, acquisition, style, seed=1, number=7)
    datasets = [pydicom.dcmread(path) for path in files_of(tmp_path)]
    for dataset in datasets:
        assert all(dataset[name].value not in (None, "") for name in REQUIRED)
        assert all(name in dataset for name in MAY_BE_EMPTY)
        assert dataset.SOPClassUID == pydicom.uid.CTImageStorage == dataset.file_meta.MediaStorageSOPClassUID
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
        assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert dataset.PixelRepresentation == 1
        assert dataset["PixelPaddingValue"].VR == "SS"
        assert (dataset.Modality, dataset.BodyPartExamined) == ("CT", "HEAD")
        assert float(dataset.GantryDetectorTilt) == style.gantry_tilt_deg
        assert (dataset.Manufacturer, dataset.ConvolutionKernel) == (style.manufacturer, style.kernel)
        assert float(dataset.KVP) == style.kvp
        assert str(dataset.PatientName) == "VIRTUAL^0007"
        assert all(len(str(v)) <= 16 for v in [*dataset.ImagePositionPatient, *dataset.ImageOrientationPatient])
        for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            assert UID(dataset[name].value).is_valid
    assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)
    assert len({d.SeriesInstanceUID for d in datasets}) == 1
    assert sorted(int(d.InstanceNumber) for d in datasets) == list(range(1, len(datasets) + 1))


def test_equal_seeds_write_equal_bytes_and_other_seeds_others(tmp_path: Path) -> None:
    hashes = []
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        summary = write_virtual_archive(tmp_path / name, patients=2, style=QUICK, seed=seed, matrix=64)
        assert summary == VirtualArchive(patients=2, series=2, files=len(files_of(tmp_path / name)))
        hashes.append(tree_hash(tmp_path / name))
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_an_archive_has_one_series_per_patient_and_says_nothing_in_its_names(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    root = tmp_path / "new" / "archive"
    write_virtual_archive(
        root, patients=3, style=QUICK, seed=11, matrix=64, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    series = discover(root, Pseudonyms(bytes(32)))
    assert len({found.patient for found in series}) == len(series) == 3
    assert not any(found.unreadable for found in series)
    names = [part for path in files_of(root) for part in path.relative_to(root).parts]
    assert all(re.fullmatch(r"[0-9a-f]{2,8}|[0-9A-F]{8}", name) for name in names)
    assert len({path.parent for path in files_of(root)}) == 3


def middle_slices(root: Path) -> list[NDArray[Any]]:
    """Stored values of the middle slice of each patient."""
    planes: dict[str, list[tuple[float, NDArray[Any]]]] = {}
    for path in files_of(root):
        dataset = pydicom.dcmread(path)
        entry = (float(dataset.ImagePositionPatient[2]), dataset.pixel_array)
        planes.setdefault(str(dataset.PatientName), []).append(entry)
    return [sorted(found, key=lambda entry: entry[0])[len(found) // 2][1] for found in planes.values()]


def test_patients_of_one_real_head_are_deformations_of_it(tmp_path: Path) -> None:
    grid = Grid(shape=(24, 52, 42), voxel_mm=4.0)
    image = sitk.GetImageFromArray(template_head(grid))
    image.SetSpacing([grid.voxel_mm] * 3)
    source = tmp_path / "head.nii.gz"
    sitk.WriteImage(image, str(source))
    for name in ("a", "b"):
        write_virtual_archive(tmp_path / name, patients=2, style=QUICK, seed=2, head=source, matrix=64)
    assert tree_hash(tmp_path / "a") == tree_hash(tmp_path / "b")
    first, second = (np.maximum(plane, -1000).ravel() for plane in middle_slices(tmp_path / "a"))
    assert 0.5 < np.corrcoef(first, second)[0, 1] < 0.995


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("keep")
    with pytest.raises(Refusal) as refused:
        write_virtual_archive(tmp_path, patients=1, style=QUICK, seed=1, matrix=64)
    assert refused.value.code is ExitCode.DISK_UNWRITABLE
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refusal) as refused:
        write_virtual_archive(tmp_path / "file" / "below", patients=1, style=QUICK, seed=1, matrix=64)
    assert refused.value.code is ExitCode.DISK_UNWRITABLE


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Refusal) as refused:
        write_virtual_archive(tmp_path / "a", patients=1, style=QUICK, seed=1, matrix=64)
    assert refused.value.code is ExitCode.DISK_FULL


@pytest.mark.parametrize(("name", "value"), [("patients", 0), ("seed", -1), ("matrix", 8), ("matrix", 4096)])
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path: Path, name: str, value: int) -> None:
    arguments = {"patients": 1, "seed": 1, "matrix": 64} | {name: value}
    with pytest.raises(Refusal, match=name) as refused:
        write_virtual_archive(tmp_path / "a", style=QUICK, **arguments)
    assert refused.value.code is ExitCode.SETTINGS_INVALID
    assert not (tmp_path / "a").exists()
