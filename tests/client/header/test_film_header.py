"""A film's header is cleaned the same way whatever a writer put into it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pydicom import Dataset

from client.dicom.parsing import quiet_pydicom
from client.header import FILM_TAGS, DamagedHeader, FilmHeader, film_header

CHECKED = TypeAdapter(FilmHeader)
SEQUENCES = {"ViewCodeSequence", "VOILUTSequence", "ModalityLUTSequence", "MaskSubtractionSequence"}
values = st.one_of(st.text(max_size=400), st.integers(-(10**9), 10**9), st.floats(), st.lists(st.text(max_size=9)))


def dataset(**written):
    made = Dataset()
    made.SOPClassUID, made.SeriesInstanceUID = "1.2", "1.3"
    with quiet_pydicom():
        for keyword, value in written.items():
            setattr(made, keyword, value)
    return made


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(sorted(set(FILM_TAGS) - SEQUENCES)), values, max_size=6))
def test_whatever_is_written_gives_a_header_that_the_parent_accepts_or_none(written):
    try:
        made = dataset(**written)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return  # pydicom itself writes no such value
    try:
        found = film_header(made)
    except Exception:  # noqa: BLE001 - the limited process answers all of these with "damaged"
        return
    assert found is None or CHECKED.validate_json(CHECKED.dump_json(found), strict=True) == found


@pytest.mark.parametrize("written", ["NaN", "nonsense", "1e400"])
def test_a_rescale_that_is_no_number_is_told_from_one_that_is_absent(written):
    assert film_header(dataset(RescaleSlope="1", RescaleIntercept="0")).rescale_damaged is False
    assert film_header(dataset()).rescale_damaged is False
    raw = dataset()
    raw.add_new("RescaleSlope", "LO", written)
    assert film_header(raw).rescale_damaged is True


def test_a_modality_table_of_another_length_than_it_says_damages_the_film():
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [3, 0, 16], [5, 6, 7]
    assert film_header(dataset(ModalityLUTSequence=[table])).table == (5, 6, 7)
    table.LUTDescriptor = [4, 0, 16]
    with pytest.raises(DamagedHeader):
        film_header(dataset(ModalityLUTSequence=[table]))


@pytest.mark.parametrize(("written", "known"), [("20260301", True), ("2026.03.01", True), ("20261301", False)])
def test_a_day_is_known_only_if_it_is_one(written, known):
    assert (film_header(dataset(AcquisitionDate=written)).day is not None) is known
