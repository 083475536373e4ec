import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from client.phantom.anatomy import template_head
from client.virtual_hospital import head_source
from client.virtual_hospital.dicom_archive import write_series
from client.virtual_hospital.head_source import find_head, read_head
from client.virtual_hospital.scanner_style import STYLES, acquire
from common.errors import ExitCode, Refusal
from common.geometry import Grid
from tests import absences

GRID = Grid(shape=(60, 62, 58), voxel_mm=4.0)
MARKER_MM = (32.0, -20.0, 48.0)
REAL_HEADS = absences.REAL_HEADS_FOLDER


def marked_head() -> NDArray[np.int16]:
    """The average head with a dense ball in the left frontal lobe."""
    head = template_head(GRID)
    z, y, x = np.meshgrid(*[GRID.centres_mm(axis) for axis in range(3)], indexing="ij")
    a, b, c = MARKER_MM
    head[(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < 10.0**2] = 2900
    return head


def marker_from_vertex_mm(volume_hu: NDArray[np.int16], voxel_mm: float) -> NDArray[np.float64]:
    """The ball's place against the head's box: (x from the middle, y from the middle, z below the top)."""
    tissue = np.argwhere(volume_hu > -300)
    ball = np.argwhere(volume_hu > 2000)
    ball = ball[ball[:, 0] > tissue[:, 0].max() - 90 / voxel_mm]
    upper = tissue[tissue[:, 0] > tissue[:, 0].max() - 60 / voxel_mm]
    middle = (upper.min(axis=0) + upper.max(axis=0)) / 2
    place = (ball.mean(axis=0) - [tissue[:, 0].max(), middle[1], middle[2]]) * voxel_mm
    return np.asarray(place[::-1], dtype=np.float64)


def write_nifti(path: Path, orientation: str = "LPS") -> Path:
    image = sitk.GetImageFromArray(marked_head())
    image.SetSpacing([GRID.voxel_mm] * 3)
    image.SetOrigin([-31.0, 17.0, 230.0])
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))
    return path


@pytest.fixture(scope="module")
def expected_mm() -> NDArray[np.float64]:
    return marker_from_vertex_mm(marked_head(), GRID.voxel_mm)


@pytest.fixture(scope="module")
def dicom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tilted")
    style = STYLES["ge-hispeed"]
    write_series(folder, acquire(marked_head(), GRID.voxel_mm, style, 1, matrix=128), style, seed=1, number=1)
    return folder


def test_tilted_uneven_slices_come_back_upright(dicom_folder: Path, expected_mm: NDArray[np.float64]) -> None:
    head = read_head(dicom_folder, 2.0)
    assert head.voxel_mm == 2.0
    assert head.volume_hu.dtype == np.int16
    assert np.allclose(marker_from_vertex_mm(head.volume_hu, 2.0), expected_mm, atol=5.0)
    assert head.volume_hu.min() >= -1024


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "ASL"])
def test_every_orientation_of_a_nifti_comes_back_in_lps(
    tmp_path: Path, orientation: str, expected_mm: NDArray[np.float64]
) -> None:
    head = read_head(write_nifti(tmp_path / "07_head.nii.gz", orientation), 4.0)
    assert np.allclose(marker_from_vertex_mm(head.volume_hu, 4.0), expected_mm, atol=1.0)
    assert head.name == "07_head"
    assert head.volume_hu.shape == GRID.shape


def test_the_table_is_taken_off(dicom_folder: Path) -> None:
    volume = read_head(dicom_folder, 2.0).volume_hu
    skull = np.argwhere(volume > 700)
    behind = volume[volume.shape[0] * 2 // 3, skull[:, 1].max() + 12 :]
    assert behind.size > 0
    assert behind.max() < -900


def pack(archive: Path, folder: Path, names: list[str] | None = None) -> Path:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for number, path in enumerate(files):
            target.write(path, names[number % len(names)] + str(number) if names else path.name)
    return archive


def test_a_zip_reads_like_its_folder_whatever_the_names_in_it(tmp_path: Path, dicom_folder: Path) -> None:
    evil = ["../../../escaped", "/absolute", "a/../../b", "C:\\windows", "ok/"]
    archive = pack(tmp_path / "inner" / "x.zip", dicom_folder, evil) if (tmp_path / "inner").mkdir() is None else None
    assert archive is not None
    assert np.array_equal(read_head(archive, 3.0).volume_hu, read_head(dicom_folder, 3.0).volume_hu)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "x.zip"]
    assert not Path("/absolute0").exists()


def test_a_zip_that_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, dicom_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "x.zip", dicom_folder)
    monkeypatch.setattr(head_source, "MAXIMUM_ARCHIVE_BYTES", 100_000)
    with pytest.raises(Refusal, match="bytes in the zip"):
        read_head(archive)
    monkeypatch.setattr(head_source, "MAXIMUM_ARCHIVE_FILES", 3)
    with pytest.raises(Refusal, match="files in the zip"):
        read_head(archive)


def test_a_source_that_is_no_head_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "no images")
    flat = sitk.GetImageFromArray(np.zeros((8, 8), dtype=np.int16))
    sitk.WriteImage(flat, str(tmp_path / "flat.nii"))
    air = sitk.GetImageFromArray(np.full((16, 40, 40), -1000, dtype=np.int16))
    air.SetSpacing([5.0, 5.0, 5.0])
    sitk.WriteImage(air, str(tmp_path / "air.nii"))
    thin = sitk.GetImageFromArray(np.full((1, 40, 40), 40, dtype=np.int16))
    sitk.WriteImage(thin, str(tmp_path / "thin.nii"))
    for name, code in (
        ("thin.nii", ExitCode.ARCHIVE_UNREADABLE),
        ("notes.txt", ExitCode.ARCHIVE_UNREADABLE),
        ("missing.zip", ExitCode.ARCHIVE_UNREADABLE),
        ("missing.nii.gz", ExitCode.ARCHIVE_UNREADABLE),
        ("flat.nii", ExitCode.ARCHIVE_UNREADABLE),
        ("air.nii", ExitCode.ARCHIVE_UNREADABLE),
        ("empty.zip", ExitCode.ARCHIVE_EMPTY),
    ):
        with pytest.raises(Refusal) as refused:
            read_head(tmp_path / name)
        assert refused.value.code is code, name
        assert "tomoray-head-" not in str(refused.value), "the temporary folder is of no use to the reader"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=600), st.sampled_from([".zip", ".nii", ".nii.gz"]), st.booleans())
def test_hostile_bytes_are_refused(tmp_path: Path, content: bytes, ending: str, prefixed: bool) -> None:
    opening = {".zip": b"PK\x03\x04", ".nii": b"\x5c\x01\x00\x00", ".nii.gz": b"\x1f\x8b\x08\x00"}[ending]
    path = tmp_path / f"x{ending}"
    path.write_bytes((opening if prefixed else b"") + content)
    with pytest.raises(Refusal):
        read_head(path)


def test_cut_and_damaged_files_are_refused(tmp_path: Path, dicom_folder: Path) -> None:
    nifti = write_nifti(tmp_path / "whole.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(nifti[: len(nifti) // 2])
    plain = gzip.decompress(nifti)
    (tmp_path / "cut.nii").write_bytes(plain[: len(plain) // 2])
    packed = bytearray(pack(tmp_path / "whole.zip", dicom_folder).read_bytes())
    (tmp_path / "cut.zip").write_bytes(packed[: len(packed) // 2])
    packed[2000:3000] = bytes(1000)
    (tmp_path / "damaged.zip").write_bytes(packed)
    for name in ("cut.nii.gz", "cut.nii", "cut.zip", "damaged.zip"):
        with pytest.raises(Refusal) as refused:
            read_head(tmp_path / name)
        assert refused.value.code is ExitCode.ARCHIVE_UNREADABLE


def test_heads_are_found_by_id_in_order_and_dicom_goes_first(tmp_path: Path) -> None:
    for name in ("dicom/02_b.zip", "dicom/03_c.zip", "nifti/01_a.nii.gz", "nifti/03_c.nii.gz", "nifti/030_d.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "04_folder").mkdir()
    (tmp_path / "dicom" / "01_notes.txt").touch()
    found = [find_head(tmp_path, prefix) for prefix in ("03", "01", "02", "04")]
    assert [path.name for path in found] == ["03_c.zip", "01_a.nii.gz", "02_b.zip", "04_folder"]
    with pytest.raises(Refusal) as refused:
        find_head(tmp_path, "05")
    assert refused.value.code is ExitCode.ARCHIVE_EMPTY
    with pytest.raises(Refusal) as refused:
        find_head(tmp_path / "missing", "01")
    assert refused.value.code is ExitCode.ARCHIVE_UNREADABLE


@pytest.mark.real_heads
@pytest.mark.skipif(not REAL_HEADS.is_dir(), reason=absences.REAL_HEADS)
def test_a_real_tilted_head_is_upright_and_in_hu() -> None:
    path = find_head(REAL_HEADS, "03")
    head = read_head(path, 3.0)
    assert path.suffix == ".zip", "DICOM goes before NIfTI"
    extent_mm = np.array(head.volume_hu.shape) * 3.0
    # 28 slices climb 152 mm, and the tilt lifts the anterior edge of 250 mm by 79 mm.
    assert extent_mm == pytest.approx([231, 237, 250], abs=6)
    middle = head.volume_hu[40:48, 30:45, 30:55]
    assert 0 < float(np.median(middle)) < 60, "brain"
    lowest = [np.flatnonzero((head.volume_hu[:, y] > -300).sum(axis=1) > 8)[0] for y in (20, 60)]
    assert lowest[0] > lowest[1] + 8, "the scan's lower face leans down to posterior"


@pytest.mark.real_heads
@pytest.mark.skipif(not REAL_HEADS.is_dir(), reason=absences.REAL_HEADS)
def test_a_real_upright_head_keeps_its_voxels() -> None:
    path = find_head(REAL_HEADS, "01")
    original = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")).astype(np.float64)
    volume = read_head(path, 1.5).volume_hu
    z, y, x = (np.linspace(30, n - 30, 12).round().astype(int) for n in volume.shape)
    taken = volume[np.ix_(z, y, x)].astype(np.float64)
    same = original[np.ix_(z, *(np.round(i * 1.5 / 0.957).astype(int) for i in (y, x)))]
    assert np.corrcoef(taken.ravel(), np.maximum(same, -1000).ravel())[0, 1] > 0.9
    mirrored = original[:, :, ::-1][np.ix_(z, *(np.round(i * 1.5 / 0.957).astype(int) for i in (y, x)))]
    assert np.corrcoef(taken.ravel(), np.maximum(mirrored, -1000).ravel())[0, 1] < 0.9
