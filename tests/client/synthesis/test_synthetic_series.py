"""Every attribute that a synthetic series says of itself, and where its voxels lie for whoever reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom import Dataset

from client.dicom import Reader
from client.phantom import procedural_head
from client.synthesis import ChosenPair, SeriesOrigin, chosen_pair, prepared_films, synthetic_slices
from client.synthesis.nifti_volume import nifti_bytes
from client.synthesis.series_origin import MARK
from client.synthesis.synthetic_ct import dicom_bytes, write_slices
from client.synthesis.uncertainty_map import uncertainty_map
from client.virtual_films import FilmFormat, FilmStyle, expose, write_film
from common.errors import Refusal
from common.geometry import Geometry, Grid
from common.spectrum import Spectrum
from common.study import Study
from common.trust import RELEASE
from tests.client.radiographs.films import frontal, lateral

GRID = Grid(shape=(10, 96, 90), voxel_mm=1.8375)
PEOPLE = {
    "PatientName": "Müller^Ana",
    "PatientID": "MRN-7741",
    "PatientBirthDate": "19610704",
    "PatientSex": "F",
    "StudyID": "S3",
    "StudyDate": "20260301",
    "StudyTime": "101200",
    "AccessionNumber": "A-99",
    "StudyDescription": "SKULL 2 VIEWS",
    "ReferringPhysicianName": "House^G",
    "StudyInstanceUID": "1.2.826.1",
    "SpecificCharacterSet": "ISO_IR 100",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> ChosenPair:
    folder = tmp_path_factory.mktemp("films")
    films = frontal(tags=PEOPLE).write(folder / "1"), lateral(tags=PEOPLE).write(folder / "2")
    with Reader() as reader:
        return chosen_pair(films, reader=reader)


def volume() -> NDArray[np.int16]:
    """Air with one bright block left, back and up of the middle, away from every corner."""
    hu = np.full(GRID.shape, -1000, np.int16)
    hu[6:8, 60:70, 52:64] = 300
    return hu


@pytest.fixture(scope="module")
def slices(pair: ChosenPair) -> list[Dataset]:
    return list(synthetic_slices(volume(), GRID, "study 0123, generator 4567", SeriesOrigin.of(pair)))


@pytest.fixture(scope="module", params=["ct", "map"])
def each(request: pytest.FixtureRequest, pair: ChosenPair, slices: list[Dataset]) -> Iterator[list[Dataset]]:
    """The objects of either series."""
    sd = np.arange(volume().size, dtype=np.float32).reshape(GRID.shape)
    made = uncertainty_map(sd, slices, "study 0123, generator 4567", SeriesOrigin.of(pair))
    yield slices if request.param == "ct" else [made]


def test_it_is_derived_synthetic_and_marked(each: list[Dataset]) -> None:
    for ds in each:
        assert list(ds.ImageType)[:2] == ["DERIVED", "SECONDARY" if ds.Modality == "CT" else "PRIMARY"]
        assert ds.SyntheticData == "YES"
        assert ds.SeriesDescription == ds.ImageComments == MARK
        assert ds.DerivationDescription == f"{MARK}. study 0123, generator 4567"
        assert ds.ContentQualification == "RESEARCH"
        assert ds.BurnedInAnnotation == "NO"


def test_it_names_both_films_what_for_and_what_made_it_of_them(each: list[Dataset], pair: ChosenPair) -> None:
    films = [(one.header.sop_class, one.header.sop_instance) for one in pair.both]
    for ds in each:
        sources = ds.SourceImageSequence
        assert [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in sources] == films
        assert {code_of(one.PurposeOfReferenceCodeSequence) for one in sources} == {("121322", "DCM")}
        assert {one.SpatialLocationsPreserved for one in sources} == {"NO"}
        assert code_of(ds.DerivationCodeSequence) == ("123110", "DCM")
        (equipment,) = ds.ContributingEquipmentSequence
        assert code_of(equipment.PurposeOfReferenceCodeSequence) == ("109100", "DCM")
        assert (equipment.Manufacturer, equipment.SoftwareVersions) == ("TomoRay Federated", RELEASE)
        assert MARK in equipment.ContributionDescription
        assert ds.SoftwareVersions == RELEASE


def code_of(sequence: list[Dataset]) -> tuple[str, str]:
    (item,) = sequence
    return item.CodeValue, item.CodingSchemeDesignator


def test_patient_and_study_are_the_films(each: list[Dataset]) -> None:
    for ds in each:
        said = {keyword: str(ds[keyword].value) for keyword in PEOPLE if keyword != "SpecificCharacterSet"}
        assert said == {keyword: value for keyword, value in PEOPLE.items() if keyword != "SpecificCharacterSet"}
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert "PatientIdentityRemoved" not in ds


def test_de_identified_nothing_of_the_films_is_left(pair: ChosenPair) -> None:
    (ds, *_) = synthetic_slices(volume(), GRID, "study 0123", SeriesOrigin())
    written = dicom_bytes(ds)
    secrets = [value for keyword, value in PEOPLE.items() if len(value) > 3 and keyword != "SpecificCharacterSet"]
    secrets += [one.header.sop_instance for one in pair.both]
    assert [secret for secret in secrets if secret.encode("utf-8") in written] == []
    assert ds.PatientIdentityRemoved == "YES"


def test_uids_are_new_numbers_are_far_and_the_frame_is_its_own(slices: list[Dataset], pair: ChosenPair) -> None:
    again = synthetic_slices(volume(), GRID, "x", SeriesOrigin.of(pair))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        first, second = ({str(ds[keyword].value) for ds in made} for made in (slices, again))
        assert not first & second
        assert all(uid.startswith("2.25.") for uid in first | second)
    assert len({ds.SOPInstanceUID for ds in slices}) == len(slices)
    assert len({ds.SeriesInstanceUID for ds in slices}) == len({ds.FrameOfReferenceUID for ds in slices}) == 1
    assert {ds.SeriesNumber for ds in slices} == {88001}
    assert [ds.InstanceNumber for ds in slices] == list(range(1, len(slices) + 1))


def test_every_uid_of_the_map_is_ours_its_series_apart_and_its_frame_the_cts(
    slices: list[Dataset], pair: ChosenPair
) -> None:
    made = uncertainty_map(np.ones(GRID.shape, np.float32), slices, "x", SeriesOrigin.of(pair))
    assert made.SeriesNumber == 88002
    assert made.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert made.SeriesInstanceUID != slices[0].SeriesInstanceUID
    uids = {
        str(element.value)
        for element in made.iterall()
        if element.VR == "UI"
        and not str(element.value).startswith(("1.2.840.10008.", "1.2.826.1", "1.2.826.0.1.3680043.8.498."))
    }
    assert all(uid.startswith("2.25.") for uid in uids)


def test_simpleitk_and_pydicom_agree_to_a_ten_thousandth_of_a_millimetre_and_in_hu(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    expected = np.random.default_rng(1).integers(-1000, 1500, GRID.shape).astype(np.int16)
    made = synthetic_slices(expected, GRID, "x", SeriesOrigin())
    paths = write_slices(tmp_path, made)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), expected)
    for index, path in enumerate(paths):
        ds = pydicom.dcmread(path)
        assert np.array_equal(ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept, expected[index])
        assert ds.RescaleType == "HU"
        for row, column in ((0, 0), (95, 89)):
            along, down = np.array(ds.ImageOrientationPatient[:3]), np.array(ds.ImageOrientationPatient[3:])
            place = (
                np.array(ds.ImagePositionPatient)
                + along * column * ds.PixelSpacing[1]
                + down * row * ds.PixelSpacing[0]
            )
            by_itk = image.TransformIndexToPhysicalPoint((column, row, index))
            ours = [float(GRID.centres_mm(axis)[at]) for axis, at in ((2, column), (1, row), (0, index))]
            assert np.abs(place - by_itk).max() < 1e-4
            assert np.abs(place - ours).max() < 1e-4


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_nifti_has_the_same_voxels_in_the_same_place(tmp_path: Path, kind: type) -> None:
    expected = np.random.default_rng(2).integers(-1000, 1500, GRID.shape).astype(kind)
    path = tmp_path / "volume.nii.gz"
    path.write_bytes(nifti_bytes(expected, GRID, "SYNTHETIC"))
    image = SimpleITK.ReadImage(path)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), expected)
    for index in ((0, 0, 0), (89, 95, 9), (40, 3, 7)):
        ours = [float(GRID.centres_mm(2 - axis)[at]) for axis, at in enumerate(index)]
        assert np.abs(np.subtract(image.TransformIndexToPhysicalPoint(index), ours)).max() < 1e-4
    assert image.GetMetaData("descrip").startswith("SYNTHETIC")


def test_the_map_holds_each_voxels_deviation_in_its_slices_place(slices: list[Dataset], pair: ChosenPair) -> None:
    sd = np.random.default_rng(3).random(GRID.shape, np.float32) * 200
    made = uncertainty_map(sd, slices, "x", SeriesOrigin.of(pair))
    frames = np.frombuffer(made.FloatPixelData, "<f4").reshape(GRID.shape)
    for frame, group in zip(frames, made.PerFrameFunctionalGroupsSequence, strict=True):
        place = [float(part) for part in group.PlanePositionSequence[0].ImagePositionPatient]
        index = next(i for i, ds in enumerate(slices) if np.allclose(ds.ImagePositionPatient, place, atol=1e-4))
        assert np.array_equal(frame, sd[index])
    shared = made.SharedFunctionalGroupsSequence[0]
    units = shared.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
    assert (units.CodeValue, units.CodingSchemeDesignator) == ("[hnsf'U]", "UCUM")


def test_the_mark_stands_in_every_slice_and_never_on_the_head(pair: ChosenPair) -> None:
    plain, marked = (
        np.stack(
            [ds.pixel_array for ds in synthetic_slices(volume(), GRID, "x", SeriesOrigin.of(pair), burn_in=burn_in)]
        )
        for burn_in in (False, True)
    )
    changed = plain != marked
    assert (changed.sum(axis=(1, 2)) > 60).all()
    assert not changed[:, 58:72, 50:66].any()
    with pytest.raises(Refusal, match="no corner free"):
        synthetic_slices(np.full(GRID.shape, 40, np.int16), GRID, "x", SeriesOrigin(), burn_in=True)


@pytest.mark.parametrize("flipped", [False, True], ids=["as hung", "stored mirrored"])
def test_left_stays_left_from_the_film_to_the_networks_input(tmp_path: Path, flipped: bool) -> None:
    grid = Grid(shape=(96, 96, 96), voxel_mm=2.4)
    head = procedural_head(3, grid).astype(np.float32)
    with_ball = head.copy()
    # Left, anterior and superior of the middle: x 40, y -30, z 45 mm.
    z, y, x = np.meshgrid(*[(np.arange(96) - 47.5) * 2.4] * 3, indexing="ij")
    with_ball[(x - 40) ** 2 + (y + 30) ** 2 + (z - 45) ** 2 < 12**2] = 1500
    room = Geometry(detector_shape=(190, 172), pixel_mm=2.0, source_patient_mm=1000.0, source_detector_mm=1200.0)
    study = Study.from_text(STUDY, where="test")
    seen = []
    for name, hu in (("plain", head), ("ball", with_ball)):
        style = FilmStyle(Spectrum(kvp=75), field_mm=(340.0, 300.0))
        films = [expose(hu, 2.4, room, beam, style, seed=1) for beam in room.beams]
        stored_as = FilmFormat(flipped=flipped)
        paths = [write_film(tmp_path / name, film, stored_as, seed=1, number=1) for film in films]
        seen.append(prepared_films(chosen_pair(paths), study, refine_poses=False))
    added = seen[1].integrals - seen[0].integrals
    at_isocentre_mm = study.geometry.pixel_mm / 1.5
    for view, across_mm in ((0, 40.0), (1, -30.0)):
        bright = added[view] > 0.6 * added[view].max()
        row, column = np.argwhere(bright).mean(axis=0)
        assert (column - 31.5) * at_isocentre_mm == pytest.approx(across_mm, abs=6)
        assert (31.5 - row) * at_isocentre_mm == pytest.approx(45.0, abs=6)


STUDY = """
name = "phantom"
[grid]
shape = [32, 32, 32]
voxel_mm = 7.2
[geometry]
detector_shape = [64, 64]
pixel_mm = 6.0
[radiograph]
spectrum = {kvp = 75, aluminium_mm = 2.5}
"""
