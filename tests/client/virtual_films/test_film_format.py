from __future__ import annotations

import itertools

import numpy as np
import pytest

from client.virtual_films import FilmFormat
from common.errors import Refusal
from common.geometry import Geometry

GEOMETRY = Geometry(detector_shape=(32, 24), pixel_mm=8.0)
EXPOSURE = np.geomspace(2e-3, 1.2, 32 * 24).reshape(32, 24)


@pytest.mark.parametrize(
    ("relationship", "photometric", "bits"),
    list(itertools.product(("LIN", "LOG"), ("MONOCHROME1", "MONOCHROME2"), (10, 12, 16))),
)
def test_the_exposure_is_found_again_to_half_a_step(relationship: str, photometric: str, bits: int) -> None:
    stored_as = FilmFormat(relationship=relationship, photometric=photometric, bits=bits)
    stored = stored_as.stored(EXPOSURE, 8.0)
    found = stored_as.exposure(stored)
    if relationship == "LIN":
        assert np.abs(found - EXPOSURE).max() <= 1.5 * 0.5001 / stored_as.highest
    else:
        assert np.abs(np.log10(found / EXPOSURE)).max() <= 4 * 0.5001 / stored_as.highest
    grows = np.diff(stored.ravel().astype(int)).sum() > 0
    assert grows == (photometric == "MONOCHROME1") == (stored_as.sign == 1)


def test_exposures_beyond_what_is_stored_are_cut_to_it() -> None:
    for relationship in ("LIN", "LOG"):
        stored = FilmFormat(relationship=relationship, photometric="MONOCHROME1").stored(np.array([[-1.0, 0, 9]]), 1.0)
        assert stored.tolist() == [[0, 0, 2**14 - 1]]


def test_patient_orientation_says_where_left_and_feet_went() -> None:
    letters = {"R": (slice(None), 0), "L": (slice(None), -1), "H": (0, slice(None)), "F": (-1, slice(None))}
    for turns, flipped in itertools.product(range(4), (False, True)):
        stored_as = FilmFormat(photometric="MONOCHROME1", quarter_turns=turns, flipped=flipped)
        right, down = stored_as.orientation(GEOMETRY.beams[0])
        for letter, edge in letters.items():
            exposure = np.full((32, 24), 0.1)
            exposure[edge] = 1.0
            stored = stored_as.stored(exposure, 8.0)
            bright = {
                right: stored[1:-1, -1],
                down: stored[-1, 1:-1],
            }
            for end, values in bright.items():
                assert (values.min() > 5000) == (end == letter)


def test_a_lateral_looks_to_the_left_until_it_is_flipped() -> None:
    lateral = GEOMETRY.beams[1]
    assert FilmFormat().orientation(lateral) == ("P", "F")
    assert FilmFormat(flipped=True).orientation(lateral) == ("A", "F")
    assert FilmFormat(quarter_turns=2).orientation(lateral) == ("A", "H")


def test_text_is_burned_in_where_no_head_is() -> None:
    plain, written = (FilmFormat(text=text).stored(np.full((128, 128), 0.5), 1.0) for text in ("", "R 75 kV"))
    rows, columns = np.nonzero(plain != written)
    assert 0 < len(rows) < 0.05 * plain.size
    assert rows.max() < 16
    assert (written[rows, columns] == 2**14 - 1).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits": 9},
        {"bits": 17},
        {"modality": "XA", "bits": 14},
        {"modality": "XA", "bits": 12, "photometric": "MONOCHROME1"},
        {"modality": "CR", "presentation": True},
        {"relationship": "LOG", "decades": 1.0},
        {"relationship": "LOG", "in_densities": True},
        {"modality": "CR", "relationship": "LIN", "in_densities": True},
    ],
)
def test_what_a_modality_cannot_store_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Refusal, match="no film has such"):
        FilmFormat(**wrong)
