"""NIfTI as a head's source: what is no number is air, the scale is judged, and odd writers' files are taken."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from client.archive import Plan, Pseudonyms, discover, judge_headers
from client.case import Case, Recipe, construct_case
from client.phantom.anatomy import template_head
from client.virtual_hospital import STYLES, find_head, nifti_head, write_virtual_archive
from client.virtual_hospital.head_source import read_head
from common.errors import ExitCode, Refusal
from common.geometry import Grid

GRID = Grid(shape=(60, 62, 58), voxel_mm=4.0)


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """The average head with noise, in HU, (z, y, x)."""
    hu = template_head(GRID).astype(np.float32)
    return np.where(hu > -900, hu + np.random.default_rng(0).normal(0, 5, hu.shape), hu).astype(np.float32)


@pytest.fixture(scope="module")
def sound(head, tmp_path_factory) -> np.ndarray:
    return read_head(nifti(tmp_path_factory.mktemp("sound") / "1_head.nii", np.rint(head), "i2"), 4.0).volume_hu


def nifti(path, values, kind="f4", slope=1.0, intercept=0.0, order="<", voxel_mm=GRID.voxel_mm):
    """Written by hand, as the format has it: values (z, y, x) in LPS order, stored as they are."""
    z, y, x = values.shape
    codes = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "u2": 512}
    stored = np.asarray(values).astype(np.dtype(order + kind))
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, 3, x, y, z, 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", head, 70, codes[kind], stored.itemsize * 8)
    struct.pack_into(f"{order}8f", head, 76, 1, *[voxel_mm] * 3, 0, 0, 0, 0)
    struct.pack_into(f"{order}3f", head, 108, 352, slope, intercept)
    struct.pack_into(f"{order}2h", head, 252, 0, 1)
    struct.pack_into(f"{order}12f", head, 280, -voxel_mm, 0, 0, 0, 0, -voxel_mm, 0, 0, 0, 0, voxel_mm, 0)
    head[123], head[344:348] = 2, b"n+1\0"
    content = bytes(head) + stored.tobytes()
    path.write_bytes(gzip.compress(content, 1) if path.name.lower().endswith(".gz") else content)
    return path


def difference(volume, sound):
    assert volume.shape == sound.shape
    return float(np.abs(volume.astype(float) - sound).mean())


@pytest.mark.parametrize(
    ("kind", "slope", "intercept"),
    [
        ("i2", 1.0, -1024.0),
        ("i2", 0.5, 0.0),
        ("i2", 2.0, -1000.0),
        ("u2", 0.25, -1024.0),
        ("i4", 0.001, -1024.0),
        ("i2", 0.0, 0.0),
        ("f4", 1.0, 0.0),
        ("f8", 1.0, 0.0),
        ("f4", 2.0, -1024.0),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_whatever_slope_type_and_byte_order_the_same_head(head, sound, tmp_path, kind, slope, intercept, order):
    scale = slope or 1.0
    values = (head - intercept) / scale
    path = nifti(tmp_path / "1_head.nii", values if kind[0] == "f" else np.rint(values), kind, slope, intercept, order)
    assert difference(read_head(path, 4.0).volume_hu, sound) < max(1.0, scale)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_a_background_of_no_numbers_is_air(head, sound, tmp_path, kind, number, slope):
    values = np.where(ndimage.binary_dilation(head > -300, iterations=2), head / slope, number)
    assert np.isfinite(values).mean() < 0.5
    path = nifti(tmp_path / "1_head.nii.gz", values, kind, slope)
    assert difference(read_head(path, 4.0).volume_hu, sound) < 1


def test_a_hole_of_no_numbers_in_the_head_is_refused(head, tmp_path):
    values = head.copy()
    values[28:32, 28:32, 26:32] = np.nan
    with pytest.raises(Refusal) as refused:
        read_head(nifti(tmp_path / "1_head.nii", values), 4.0)
    assert refused.value.code is ExitCode.IMAGE_INVALID


@pytest.mark.parametrize("name", ["1_head.NII.GZ", "1_head.nii", "1_head.Nii", "1_head.nii.gz"])
@pytest.mark.parametrize("packed", [True, False])
def test_names_decide_nothing_of_how_a_file_is_packed(head, sound, tmp_path, name, packed):
    content = nifti(tmp_path / "plain.nii", np.rint(head), "i2").read_bytes()
    (tmp_path / "plain.nii").unlink()
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if packed else content)
    found = find_head(tmp_path, "1")
    assert found.name == name
    assert np.array_equal(read_head(found, 4.0).volume_hu, sound)


NO_HU = {
    "an offset of 1024": lambda hu: hu + 1024,
    "half of it": lambda hu: hu + 500,
    "a window in 0..255": lambda hu: np.clip((hu + 160) / 400, 0, 1) * 255,
    "a bone window in 0..255": lambda hu: np.clip((hu + 500) / 2500, 0, 1) * 255,
    "a window in HU": lambda hu: np.clip(hu, -200, 400),
    "0..10": lambda hu: np.clip((hu + 1024) / 4096, 0, 1) * 10,
    "half the slope": lambda hu: hu / 2,
    "a tenth": lambda hu: hu / 10,
    "a background of water": lambda hu: np.where(hu > -300, hu, 0.0),
    "brain too dense": lambda hu: np.where(hu > -300, hu + 150, hu),
    "metal wrapped around": lambda hu: np.where(np.abs(np.indices(hu.shape) - 30).max(0) < 3, -2900, hu),
}


@pytest.mark.parametrize("change", NO_HU.values(), ids=NO_HU.keys())
@pytest.mark.parametrize("kind", ["i2", "f4"])
def test_values_that_are_no_hu_are_refused_with_a_mend(head, tmp_path, change, kind):
    path = nifti(tmp_path / "1_head.nii.gz", change(head), kind)
    with pytest.raises(Refusal, match="not HU") as refused:
        read_head(path, 4.0)
    assert refused.value.code is ExitCode.IMAGE_INVALID
    assert refused.value.mend


@pytest.mark.parametrize("background", [-3024.0, -2048.0, -1024.0, 0.0, 3071.0])
def test_a_circle_of_one_value_around_the_scan_is_air(head, sound, tmp_path, background):
    y, x = np.mgrid[: head.shape[1], : head.shape[2]]
    outside = np.hypot(y - 30.5, x - 28.5) > 28.5
    values = np.where(outside & (head < -900), background, head)
    assert difference(read_head(nifti(tmp_path / "1_head.nii", values, "i2"), 4.0).volume_hu, sound) <= 2


def test_an_offset_is_refused_in_dicom_too(head, tmp_path):
    style = STYLES["picker-rt"]
    write_virtual_archive(tmp_path / "a", patients=1, style=style, seed=1, matrix=64)
    assert read_head(tmp_path / "a").volume_hu.size
    for path in (file for file in (tmp_path / "a").rglob("*") if file.is_file()):
        dataset = pydicom.dcmread(path)
        dataset.RescaleIntercept = "1024"
        dataset.save_as(path)
    with pytest.raises(Refusal) as refused:
        read_head(tmp_path / "a")
    assert refused.value.code is ExitCode.IMAGE_INVALID


def test_a_file_larger_than_the_limit_is_refused(head, tmp_path, monkeypatch):
    path = nifti(tmp_path / "1_head.nii.gz", head)
    monkeypatch.setattr(nifti_head, "MAXIMUM_VOXELS", 1000)
    with pytest.raises(Refusal, match="too large"):
        read_head(path)
    monkeypatch.setattr(nifti_head, "MAXIMUM_BYTES", 10_000)
    with pytest.raises(Refusal, match="bytes in the file"):
        read_head(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_are_read_or_refused(tmp_path, data):
    small = np.full((12, 34, 34), -1000.0)
    content = bytearray(nifti(tmp_path / "x.nii", small, "f4").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 360))] = data.draw(st.integers(0, 255))
    (tmp_path / "x.nii").write_bytes(bytes(content[: data.draw(st.integers(300, len(content)))]))
    with pytest.raises(Refusal):
        read_head(tmp_path / "x.nii", 4.0)


@pytest.mark.parametrize("style", ["toshiba", "siemens"])
@pytest.mark.parametrize("couch_hu", [60.0, -150.0])
def test_a_planning_ct_on_a_flat_couch_makes_heads_that_are_used(head, archive_study, tmp_path, style, couch_hu):
    """From edge to edge of the image, the head on it, under a mask that touches it."""
    body = head > -300
    top = int(np.flatnonzero(body[30:].any(axis=(0, 2)))[-1]) + 1
    values = np.pad(head, ((0, 0), (0, 12), (12, 12)), constant_values=-1000.0)
    shell = ndimage.binary_dilation(values > -300, np.ones((1, 3, 3))) & (values < -300)
    shell[:, top:] = False
    values[shell] = 40
    values[:, top : top + 8][values[:, top : top + 8] < -300] = couch_hu
    path = nifti(tmp_path / "1_planning.nii.gz", np.rint(values), "i2")
    source = read_head(path, 4.0).volume_hu
    lowest_row = source[:, min(top + 3, source.shape[1] - 1) :]
    assert (lowest_row > -300).mean() < 0.01
    write_virtual_archive(tmp_path / "a", patients=2, style=STYLES[style], seed=5, head=path, matrix=96)
    for series in discover(tmp_path / "a", Pseudonyms(b"k" * 32)):
        plan = judge_headers(series, archive_study.cohort)
        assert isinstance(plan, Plan)
        recipe = Recipe(archive_study.grid, archive_study.geometry, archive_study.radiograph)
        case = construct_case(plan, "p" * 32, recipe)
        assert isinstance(case, Case), case
        assert case.facts.cut_share == 0


def test_an_image_that_simpleitk_wrote_is_read_as_it_is(head, sound, tmp_path: Path):
    image = sitk.GetImageFromArray(np.rint(head).astype(np.int16))
    image.SetSpacing([GRID.voxel_mm] * 3)
    sitk.WriteImage(image, str(tmp_path / "1.nii.gz"))
    assert np.array_equal(read_head(tmp_path / "1.nii.gz", 4.0).volume_hu, sound)
