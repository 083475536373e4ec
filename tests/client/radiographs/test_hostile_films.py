"""Whatever bytes a film has, it is a film or gets a verdict, and the next one is read."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.archive import Pseudonyms
from client.radiographs import Film, FilmVerdict, read_films
from tests.client.radiographs.films import frontal, lateral

NAMES = Pseudonyms(b"secret" * 8)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return [make().write(folder / make.__name__).read_bytes() for make in (frontal, lateral)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([0, 1]),
    st.lists(st.tuples(st.integers(132, 1400), st.integers(0, 255)), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(0, 60_000)),
)
def test_a_mutated_film_costs_only_itself(films, film_reader, tmp_path, which, changes, length):
    content = bytearray(films[which][:length])
    for place, value in changes:
        if place < len(content):
            content[place] = value
    mutated, sound = tmp_path / "mutated", tmp_path / "sound"
    mutated.write_bytes(content)
    sound.write_bytes(films[0])
    first, second = read_films([mutated, sound], NAMES, reader=film_reader)
    assert isinstance(first, Film | FilmVerdict)
    assert isinstance(second, Film)


TAGS = {
    "RescaleSlope": st.one_of(st.just(""), st.floats(-1e5, 1e5).map(lambda value: f"{value:.6g}")),
    "RescaleIntercept": st.floats(-1e5, 1e5).map(lambda value: f"{value:.6g}"),
    "BitsStored": st.integers(1, 16),
    "PixelRepresentation": st.integers(0, 1),
    "PixelPaddingValue": st.integers(0, 32_767),
    "PixelIntensityRelationship": st.sampled_from(["LIN", "LOG", "DISP", ""]),
    "PhotometricInterpretation": st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    "ImagerPixelSpacing": st.lists(st.floats(0.01, 9).map(lambda value: round(value, 3)), min_size=1, max_size=3),
    "PatientOrientation": st.lists(st.sampled_from(["L", "R", "A", "P", "H", "F", "X"]), max_size=3),
    "CollimatorShape": st.sampled_from(["RECTANGULAR", "CIRCULAR", "POLYGONAL"]),
    "CollimatorLeftVerticalEdge": st.integers(-9, 400),
    "CollimatorRightVerticalEdge": st.integers(-9, 400),
    "CollimatorUpperHorizontalEdge": st.integers(-9, 400),
    "CollimatorLowerHorizontalEdge": st.integers(-9, 400),
    "VerticesOfThePolygonalCollimator": st.lists(st.integers(0, 400), max_size=12),
    "RadiusOfCircularCollimator": st.integers(0, 300),
    "CenterOfCircularCollimator": st.lists(st.integers(0, 300), max_size=3),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional=TAGS))
def test_whatever_a_header_says_the_film_is_used_or_gets_a_verdict(read, tags):
    found = read(frontal(tags=tags))
    assert isinstance(found, Film | FilmVerdict)
    if isinstance(found, Film):
        assert found.integrals.shape == found.exposed.shape
        assert abs(found.integrals).max() < 20
