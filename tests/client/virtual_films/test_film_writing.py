from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from client.virtual_films import AntiScatterGrid, FilmFormat, FilmStyle, expose, film_dataset, write_film
from client.virtual_hospital import patient_id
from common.geometry import FrontalView, Geometry, LateralView
from common.spectrum import Spectrum

GEOMETRY = Geometry(
    detector_shape=(64, 48), pixel_mm=5.0, source_patient_mm=900, source_detector_mm=1150, frontal=FrontalView.AP
)
STYLE = FilmStyle(
    Spectrum(kvp=75, aluminium_mm=2.5, copper_mm=0.1), grid=AntiScatterGrid(), field_mm=(300.0, 200.0), marker="L"
)
HEAD = np.full((40, 40, 40), -1000, np.int16)
HEAD[6:34, 4:36, 8:32] = 40
FORMATS = [
    FilmFormat(),
    FilmFormat(presentation=True, relationship="LOG", photometric="MONOCHROME1", bits=12, text="AP"),
    FilmFormat(modality="CR", relationship="LOG", bits=10, quarter_turns=1, flipped=True),
    FilmFormat(modality="XA", bits=12),
]
CLASSES = {
    ("DX", False): "1.2.840.10008.5.1.4.1.1.1.1.1",
    ("DX", True): "1.2.840.10008.5.1.4.1.1.1.1",
    ("CR", False): "1.2.840.10008.5.1.4.1.1.1",
    ("XA", False): "1.2.840.10008.5.1.4.1.1.12.1",
}


@pytest.fixture(scope="module", params=[0, 1], ids=["frontal", "lateral"])
def film(request: pytest.FixtureRequest):
    return expose(HEAD, 5.0, GEOMETRY, GEOMETRY.beams[request.param], STYLE, seed=1)


@pytest.mark.parametrize("stored_as", FORMATS, ids=lambda f: f"{f.modality}-{f.relationship}")
def test_a_written_film_says_how_it_was_made_and_stored(film, stored_as: FilmFormat, tmp_path: Path) -> None:
    path = write_film(tmp_path, film, stored_as, seed=4, number=2)
    read = pydicom.dcmread(path)
    assert read.SOPClassUID == read.file_meta.MediaStorageSOPClassUID
    assert read.SOPClassUID == CLASSES[stored_as.modality, stored_as.presentation]
    assert read.Modality == stored_as.modality
    assert (read.KVP, read.DistanceSourceToDetector, read.DistanceSourceToPatient) == (75, 1150, 900)
    assert read.EstimatedRadiographicMagnificationFactor == pytest.approx(1150 / 900, rel=1e-6)
    assert list(read.ImagerPixelSpacing) == [5, 5]
    assert "PixelSpacing" not in read
    assert (read.PixelIntensityRelationship, read.BitsStored) == (stored_as.relationship, stored_as.bits)
    assert (read.HighBit, read.BitsAllocated, read.PixelRepresentation) == (stored_as.bits - 1, 16, 0)
    assert read.PhotometricInterpretation == stored_as.photometric
    assert tuple(read.PatientOrientation) == stored_as.orientation(film.beam)
    assert read.PatientID == patient_id(4, 2)
    assert read.BurnedInAnnotation == ("YES" if stored_as.text else "NO")
    values = stored_as.stored(film.exposure, 5.0)
    assert np.array_equal(read.pixel_array, values)
    # ITK turns MONOCHROME1 over as it reads; pydicom does not.
    shown = stored_as.highest - values if stored_as.photometric == "MONOCHROME1" else values
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).squeeze(), shown)
    if stored_as.modality != "XA":
        assert read.PixelIntensityRelationshipSign == stored_as.sign
        inverse = stored_as.photometric == "MONOCHROME1"
        assert read.PresentationLUTShape == ("INVERSE" if inverse else "IDENTITY")
        assert list(read.FilterMaterial) == ["ALUMINUM", "COPPER"]
        assert list(read.FilterThicknessMaximum) == [2.5, 0.1]


@pytest.mark.parametrize("stored_as", FORMATS[:3], ids=lambda f: f"{f.modality}-{f.relationship}")
def test_view_and_code_agree(film, stored_as: FilmFormat) -> None:
    written = film_dataset(film, stored_as, seed=1, number=1)
    expected = ("AP", "399348003") if film.beam.name == "frontal" else ("LL", "399173006")
    assert (written.ViewPosition, written.ViewCodeSequence[0].CodeValue) == expected
    assert written.ViewCodeSequence[0].CodingSchemeDesignator == "SCT"


@pytest.mark.parametrize(("lateral", "degrees"), [(LateralView.LEFT, 90), (LateralView.RIGHT, -90)])
def test_angiography_says_the_view_as_an_angle(lateral: LateralView, degrees: int) -> None:
    geometry = GEOMETRY.model_copy(update={"lateral": lateral})
    exposed = expose(HEAD, 5.0, geometry, geometry.beams[1], STYLE, seed=1)
    written = film_dataset(exposed, FORMATS[3], seed=1, number=1)
    assert written.PositionerPrimaryAngle == degrees
    assert "ViewPosition" not in written


@pytest.mark.parametrize("stored_as", FORMATS, ids=lambda f: f"{f.modality}-{f.relationship}")
def test_the_stated_collimator_edges_bound_the_open_field(film, stored_as: FilmFormat) -> None:
    written = film_dataset(film, replace(stored_as, text=""), seed=1, number=1)
    exposed = stored_as.exposure(written.pixel_array)
    left, right = written.CollimatorLeftVerticalEdge, written.CollimatorRightVerticalEdge
    upper, lower = written.CollimatorUpperHorizontalEdge, written.CollimatorLowerHorizontalEdge
    # Edges count from 1 and name the first column and row that are covered; beyond the head's corners lies air.
    assert (lower - upper - 1, right - left - 1) in {(60, 40), (40, 60)}
    inside, beside = (
        np.ix_((upper, lower - 2), (left, right - 2)),
        np.ix_((upper - 1, lower - 1), (left - 1, right - 1)),
    )
    assert exposed[inside].min() > 0.5
    assert exposed[beside].max() < 0.05


def test_equal_arguments_write_equal_bytes_and_two_films_share_a_study(tmp_path: Path) -> None:
    films = [expose(HEAD, 5.0, GEOMETRY, beam, STYLE, seed=1) for beam in GEOMETRY.beams]
    first, again = (write_film(tmp_path / name, films[0], FORMATS[0], seed=1, number=1) for name in "ab")
    assert first.read_bytes() == again.read_bytes()
    frontal, lateral = (film_dataset(film, FORMATS[0], seed=1, number=1) for film in films)
    assert frontal.StudyInstanceUID == lateral.StudyInstanceUID
    assert frontal.SeriesInstanceUID != lateral.SeriesInstanceUID
    assert frontal.SOPInstanceUID != lateral.SOPInstanceUID
    assert all(str(uid).startswith("2.25.") for uid in (frontal.SOPInstanceUID, frontal.StudyInstanceUID))
