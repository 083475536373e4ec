from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
import torch
from numpy.typing import NDArray

from client.case import Case
from client.synthesis import MARK, synthesize, synthesize_with_sd, write_synthetic_ct
from common.errors import ExitCode, Refusal
from common.exchange import weights_of
from common.geometry import Grid
from common.networks import build_generator
from common.study import Study

Tiny = Callable[..., Study]
MakeCases = Callable[..., list[Case]]
GRID = Grid(shape=(10, 12, 14), voxel_mm=3.5)


def octants() -> NDArray[np.int16]:
    """Another HU in every octant: 1 for left, 2 for posterior, 4 for superior, in hundreds."""
    z, y, x = np.indices(GRID.shape)
    hu: NDArray[np.int16] = (100 * ((x >= 7) + 2 * (y >= 6) + 4 * (z >= 5))).astype(np.int16)
    return hu


def read(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_synthesis_is_the_generators_prediction_in_hu(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    case = make_cases(study, 1)[0]
    generator = build_generator(study)
    volume = synthesize(study, weights_of(generator), case.integrals)
    with torch.inference_mode():
        windowed = generator(torch.from_numpy(case.integrals)[None] / study.radiograph.integral_scale)[0, 0]
    assert volume.dtype == np.int16
    assert np.abs(volume - (windowed.numpy() * 2500 - 1000)).max() <= 0.51


def test_uncertainty_comes_with_the_volume_where_the_study_predicts_it(tiny: Tiny, make_cases: MakeCases) -> None:
    plain = tiny()
    document = plain.model_dump()
    document["networks"]["generator"]["variance"] = True
    document["optimisation"]["likelihood_weight"] = 0.1
    study = Study.model_validate(document)
    case, generator = make_cases(study, 1)[0], build_generator(study).eval()
    made = synthesize_with_sd(study, weights_of(generator), case.integrals)
    with torch.inference_mode():
        prediction = generator.predict(torch.from_numpy(case.integrals)[None] / study.radiograph.integral_scale)
    expected = 2500 * np.exp(0.5 * prediction.log_variance[0, 0].numpy())
    assert made.sd_hu is not None
    assert np.allclose(made.sd_hu, expected, rtol=1e-5)
    assert np.array_equal(made.volume_hu, synthesize(study, weights_of(generator), case.integrals))
    assert synthesize_with_sd(plain, weights_of(build_generator(plain)), case.integrals).sd_hu is None


@pytest.mark.parametrize("fault", ["shape", "nan"])
def test_radiographs_that_do_not_fit_the_study_are_refused(tiny: Tiny, make_cases: MakeCases, fault: str) -> None:
    study = tiny()
    integrals = make_cases(study, 1)[0].integrals.copy()
    if fault == "shape":
        integrals = integrals[:, :-1]
    else:
        integrals[0, 3, 3] = np.nan
    with pytest.raises(Refusal) as refusal:
        synthesize(study, weights_of(build_generator(study)), integrals)
    assert refusal.value.code is ExitCode.IMAGE_INVALID


def test_every_octant_lands_where_the_patient_has_it(tmp_path: Path) -> None:
    write_synthetic_ct(tmp_path / "ct", octants(), GRID, "test")
    image = read(tmp_path / "ct")
    for left in (-1, 1):
        for posterior in (-1, 1):
            for superior in (-1, 1):
                index = image.TransformPhysicalPointToIndex((left * 12.0, posterior * 10.0, superior * 9.0))
                expected = 100 * ((left > 0) + 2 * (posterior > 0) + 4 * (superior > 0))
                assert image.GetPixel(index) == expected


def test_series_reads_back_voxel_for_voxel_in_its_place(tmp_path: Path) -> None:
    volume = np.random.default_rng(1).integers(-1000, 1500, GRID.shape).astype(np.int16)
    write_synthetic_ct(tmp_path / "ct", volume, GRID, "test")
    image = read(tmp_path / "ct")
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), volume)
    assert image.GetSpacing() == pytest.approx((3.5, 3.5, 3.5))
    assert image.GetDirection() == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert image.GetOrigin() == pytest.approx([float(GRID.centres_mm(axis)[0]) for axis in (2, 1, 0)])


def test_every_slice_says_that_it_is_synthetic_and_whose_it_is_not(tmp_path: Path) -> None:
    files = write_synthetic_ct(tmp_path / "ct", octants(), GRID, "generator 0123")
    assert len(files) == GRID.shape[0]
    for path in files:
        ds = pydicom.dcmread(path)
        assert list(ds.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert ds.ImageComments == ds.SeriesDescription == MARK
        assert MARK in ds.DerivationDescription and "generator 0123" in ds.DerivationDescription
        assert ds.BurnedInAnnotation == "NO"
        assert (str(ds.PatientName), ds.PatientID) == ("SYNTHETIC^RESEARCH", "SYNTHETIC")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_instances_are_distinct_and_series_are_one(tmp_path: Path) -> None:
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in write_synthetic_ct(tmp_path, octants(), GRID, "")]
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers)
    assert len({ds.SeriesInstanceUID for ds in headers}) == 1
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID for ds in headers)


def test_two_series_never_mix_in_a_folder(tmp_path: Path) -> None:
    write_synthetic_ct(tmp_path, octants(), GRID, "")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Refusal, match="not empty"):
        write_synthetic_ct(tmp_path, octants(), GRID, "")
    assert sorted(tmp_path.iterdir()) == before


def test_a_volume_of_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        write_synthetic_ct(tmp_path / "ct", octants()[1:], GRID, "")
    assert refusal.value.code is ExitCode.IMAGE_INVALID
