"""The short way to ordinary pixels gives what the full reader gives, or nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from client.dicom.parsing import quiet_pydicom
from client.dicom.plain_pixels import PlainPixels
from client.dicom.stored_bits import stored_bits_of


def slowly(content):
    """The plain reference."""
    with quiet_pydicom():
        return pydicom.pixels.pixel_array(pydicom.dcmread(io.BytesIO(content), force=True), raw=True)


def written(ct, tmp_path, stored, **changes):
    return ct.save(tmp_path / "a", ct.object(stored, **changes)).read_bytes()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_ordinary_slices_go_the_short_way(ct, tmp_path, syntax, bits, signed):
    """What is in the bits that are not stored is left out, as the full reader does."""
    stored = np.random.default_rng(0).integers(0, 1 << 16, (40, 30)).astype("i2" if signed else "u2")
    content = written(ct, tmp_path, stored, bits=bits, syntax=syntax)
    found = PlainPixels().values(content, 40, 30)
    assert found is not None
    assert found.dtype == stored.dtype
    assert np.array_equal(found, slowly(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"syntax": ExplicitVRBigEndian},
        {"SamplesPerPixel": 3},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"NumberOfFrames": 2},
        {"BitsAllocated": 8},
        {"Rows": 41},
    ],
    ids=str,
)
def test_anything_else_is_left_to_the_full_reader(ct, tmp_path, changes):
    stored = np.zeros((40, 30), np.int16)
    assert PlainPixels().values(written(ct, tmp_path, stored, **changes), 40, 30) is None


def test_files_of_other_writers_give_what_the_full_reader_gives():
    short = PlainPixels()
    went = 0
    for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")):
        content = path.read_bytes()
        with quiet_pydicom():
            header = pydicom.dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)
        found = short.values(content, int(header.get("Rows") or 1), int(header.get("Columns") or 1))
        if found is not None:
            went += 1
            assert np.array_equal(found, slowly(content))
    assert went >= 3


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda uid: uid.keyword)
def test_mutated_files_give_what_the_full_reader_gives_or_nothing(ct, tmp_path, syntax, data):
    stored = np.arange(40 * 30, dtype=np.int16).reshape(40, 30)
    content = bytearray(written(ct, tmp_path, stored, syntax=syntax))
    begin = len(content) - stored.nbytes
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(132, begin + 8))] = data.draw(st.integers(0, 255))
    found = PlainPixels().values(bytes(content), 40, 30)
    if found is not None:
        assert np.array_equal(found, slowly(bytes(content)))


@pytest.mark.parametrize(
    ("words", "bits", "expected"),
    [
        ([[-1000, -998], [2712, -3024]], 12, [[-1000, -998], [2712, -3024]]),
        ([[0xC18, 40], [0x7FF, 0xC18]], 12, [[-1000, 40], [2047, -1000]]),
        ([[-1000, 40 | 0x1000], [-900, 7]], 12, [[-1000, 40], [-900, 7]]),
        ([[7, 40], [-3024, 9]], 16, [[7, 40], [-3024, 9]]),
    ],
)
def test_bits_beyond_the_stored_ones_are_signs_or_nothing(words, bits, expected):
    assert np.array_equal(stored_bits_of(np.array(words, np.int16), bits), expected)


def test_a_word_in_all_corners_is_meant_whole():
    words = np.full((6, 6), 40 | 0x2000, np.uint16)
    words[[0, 0, -1, -1], [0, -1, 0, -1]] = 63536
    expected = np.full((6, 6), 40)
    expected[words == 63536] = 63536
    assert np.array_equal(stored_bits_of(words, 12), expected)
