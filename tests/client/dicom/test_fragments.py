"""Coded frames in several fragments without a table of offsets decode as they do in one."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from client.dicom import Fault, Frame
from client.dicom.fragments import joined_fragments

ITEM, TABLE = b"\xfe\xff\x00\xe0", b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
JPEG_LOSSLESS = "JPEGLosslessProcess14_1"


def parted(frames: list[bytes], size: int) -> bytes:
    """Encapsulated frames in fragments of a size, after an empty basic offset table."""
    parts = [frame[start : start + size] for frame in frames for start in range(0, len(frame), size)]
    even = [part + b"\0" * (len(part) % 2) for part in parts]
    return TABLE + b"".join(ITEM + len(part).to_bytes(4, "little") + part for part in even)


@pytest.fixture
def fragmented(ct, tmp_path):
    """Writes frames of one image in fragments of a size; gives the path and the size of a coded frame."""

    def write(stored, syntax, size, frames, **tags):
        plain = ct.object(stored, bits=12, **tags)
        if syntax == JPEG_LOSSLESS:
            path = ct.recode(ct.save(tmp_path / "plain", plain), tmp_path / "coded", JPEG_LOSSLESS)
            dataset = pydicom.dcmread(path)
        else:
            plain.compress(syntax, generate_instance_uid=False)
            dataset = plain
        (coded,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = parted([coded] * frames, size(len(coded)))
        dataset["PixelData"].is_undefined_length = True
        dataset.PhotometricInterpretation = tags.get("PhotometricInterpretation", "MONOCHROME2")
        if frames > 1:
            dataset.NumberOfFrames = frames
        return ct.save(tmp_path / "fragmented", dataset)

    return write


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("parts", [1, 2, 3, 10])
@pytest.mark.parametrize(
    "syntax",
    [JPEG2000Lossless, JPEGLSLossless, JPEG_LOSSLESS, RLELossless],
    ids=lambda uid: getattr(uid, "keyword", uid),
)
def test_a_frame_in_any_number_of_fragments_gives_the_stored_values_whatever_they_are_shown_as(
    reader, head_like, fragmented, syntax, parts, photometric
):
    """Viewers and some readers invert what is shown as MONOCHROME1; HU follow from the values that are stored."""
    stored = (head_like[0] + 1024).astype(np.uint16)
    path = fragmented(stored, syntax, lambda length: length // parts // 2 * 2, 1, PhotometricInterpretation=photometric)
    (found,) = reader.frames([Frame(path, *stored.shape, 0)])
    assert np.array_equal(found, stored)


@pytest.mark.parametrize("short", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEG_LOSSLESS], ids=str)
def test_frames_are_told_apart_even_where_a_fragment_ends_within_the_marker(
    reader, head_like, fragmented, syntax, short
):
    """The second and last fragment of each frame holds the last bytes alone, half a marker or less among them."""
    stored = (head_like[0] + 1024).astype(np.uint16)
    path = fragmented(stored, syntax, lambda length: (length - short + 1) // 2 * 2, 3)
    for found in reader.frames([Frame(path, *stored.shape, number) for number in range(3)]):
        assert np.array_equal(found, stored)


def test_fragments_that_hold_another_number_of_frames_are_damage(reader, head_like, fragmented, tmp_path):
    stored = (head_like[0] + 1024).astype(np.uint16)
    path = fragmented(stored, JPEGLSLossless, lambda length: length // 4 * 2, 3)
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = 4
    dataset.save_as(path)
    assert list(reader.frames([Frame(path, *stored.shape, 0)])) == [Fault.DAMAGED]


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(0, 5))
def test_any_fragments_give_that_many_frames_or_a_refusal(fragments: list[bytes], frames: int) -> None:
    try:
        found = joined_fragments(fragments, frames)
    except ValueError:
        return
    assert len(found) == frames
    assert b"".join(found) == b"".join(fragments)
