"""What is written holds to DICOM's definitions, by dicom3tools: the synthetic CT, its map, and the virtual films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from client.header.film_identity import film_identity
from client.phantom import template_head
from client.synthesis import SeriesOrigin, synthetic_slices
from client.synthesis.synthetic_ct import dicom_bytes, write_slices
from client.synthesis.uncertainty_map import uncertainty_map
from client.virtual_films import AntiScatterGrid, FilmFormat, FilmStyle, expose, write_film
from common.geometry import Geometry, Grid
from common.spectrum import Spectrum
from tests.client.synthesis.dicom_checks import disagreements, errors_in

GRID = Grid(shape=(8, 96, 96), voxel_mm=2.4)
FORMATS = [
    FilmFormat(),
    FilmFormat(presentation=True, relationship="LOG", bits=12, text="L 1"),
    FilmFormat(photometric="MONOCHROME1", flipped=True, quarter_turns=1),
    FilmFormat(modality="CR", relationship="LOG", bits=10, in_densities=True),
    FilmFormat(modality="XA", bits=12),
]


def films_in(folder: Path, film_format: FilmFormat) -> list[Path]:
    """Frontal and lateral film of one virtual patient."""
    grid = Grid(shape=(32, 32, 32), voxel_mm=7.0)
    geometry = Geometry(detector_shape=(64, 48), pixel_mm=6.0)
    style = FilmStyle(Spectrum(kvp=75), grid=AntiScatterGrid(), field_mm=(300.0, 240.0), marker="L")
    head = template_head(grid).astype(np.float32)
    films = [expose(head, grid.voxel_mm, geometry, beam, style, seed=1) for beam in geometry.beams]
    return [write_film(folder, film, film_format, seed=1, number=1) for film in films]


def written(folder: Path, films: list[Path], *, burn_in: bool = False) -> list[Path]:
    """A synthetic series of these films, or nobody's, its map last."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in films]
    origin = SeriesOrigin()
    if headers:
        sources = tuple((str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in headers)
        origin = SeriesOrigin(headers[0].StudyInstanceUID, film_identity(headers[0]), sources)
    volume = template_head(GRID)
    folder.mkdir()
    slices = synthetic_slices(volume, GRID, "study 0123", origin, burn_in=burn_in)
    paths = list(write_slices(folder, slices))
    sd = np.abs(volume).astype(np.float32) / 20 + 1
    paths.append(folder / "uncertainty.dcm")
    paths[-1].write_bytes(dicom_bytes(uncertainty_map(sd, slices, "study 0123", origin)))
    return paths


@pytest.mark.parametrize("film_format", FORMATS, ids=lambda one: f"{one.modality}-{one.relationship}-{one.photometric}")
def test_a_synthetic_series_its_map_and_the_films_it_is_made_of_have_no_error_and_agree(
    tmp_path: Path, film_format: FilmFormat
) -> None:
    films = films_in(tmp_path / "films", film_format)
    paths = written(tmp_path / "ct", films, burn_in=film_format.bits == 12)
    assert [found for path in (*films, paths[0], paths[-2], paths[-1]) for found in errors_in(path)] == []
    assert disagreements([*films, *paths]) == []


def test_nobodys_series_and_its_map_have_no_error_and_agree(tmp_path: Path) -> None:
    paths = written(tmp_path / "ct", [])
    assert [found for path in (paths[0], paths[-1]) for found in errors_in(path)] == []
    assert disagreements(paths) == []


def test_an_object_that_breaks_its_definition_is_told(tmp_path: Path) -> None:
    first, second, *_ = written(tmp_path / "ct", [])
    broken = pydicom.dcmread(first)
    del broken.RescaleSlope
    broken.StudyTime = "000001"
    broken.save_as(first)
    assert any("RescaleSlope" in error for error in errors_in(first))
    assert disagreements([first, second]) != []
