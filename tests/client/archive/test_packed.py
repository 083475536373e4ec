"""Packed files among images are named, packed NIfTI is passed over as NIfTI is, and nothing else is unpacked."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from client.archive.discovery import discover
from client.archive.packed import PACKED_BYTES, is_packed
from tests.client.looking import NAMES, settle


def test_a_zip_among_images_is_named_and_the_rest_is_used(head_series, look, tmp_path):
    writer = head_series()
    paths = writer.write(tmp_path / "archive")
    with zipfile.ZipFile(tmp_path / "archive" / "SECRETNAME", "w") as packed:
        packed.write(paths[0], "SECRETNAME.dcm")
    found = look(tmp_path / "archive")
    assert found.codes == ["accepted", "archive_in_archive"]
    assert found.findings.flow.excluded == {"archive_in_archive": 1}


UNPACK = zlib.decompressobj
NIFTI_NAMES = ("head.nii.gz", "HEAD.NII.GZ", "head.nii", "IM0001")


@pytest.mark.parametrize("name", NIFTI_NAMES)
def test_a_packed_nifti_among_images_is_passed_over_whatever_its_name(head_series, look, head_hu, tmp_path, name):
    head_series().write(tmp_path / "archive")
    image = tmp_path / "image.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(head_hu), str(image), useCompression=True)
    image.rename(tmp_path / "archive" / name)
    found = look(tmp_path / "archive")
    assert found.codes == ["accepted"]
    assert found.findings.flow.excluded == {}


def nifti_header(version, order):
    first = struct.pack(f"{order}i", 348 if version == 1 else 540)
    return first + bytes(340) + b"n+1\0" if version == 1 else first + b"n+2\0\r\n\032\n" + bytes(528)


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("name", [b"", b"a-long-name-of-a-file" * 20])
@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<"), (2, ">")])
def test_every_nifti_is_told_by_what_it_holds(level, name, version, order):
    content = nifti_header(version, order) + np.random.default_rng(0).bytes(9000)
    packed = bytearray(gzip.compress(content, level))
    if name:
        packed[3] |= 8
        packed[10:10] = name + b"\0"
    assert gzip.decompress(bytes(packed)) == content
    assert not is_packed(bytes(packed[:PACKED_BYTES]))


@pytest.mark.parametrize(
    "content",
    [
        bytes(128) + b"DICM" + bytes(500),
        struct.pack("<i", 348) + bytes(600),
        bytes(344) + b"n+1\0" + bytes(600),
        b"",
    ],
    ids=["DICOM", "Analyze", "no length", "nothing"],
)
def test_any_other_gzip_stays_named(content):
    packed = gzip.compress(content)
    assert is_packed(packed[:PACKED_BYTES])
    assert is_packed(gzip.compress(nifti_header(1, "<"))[:20])
    assert is_packed(packed[:10] + b"\xff" * 400)


def test_a_gzip_is_unpacked_no_further_than_a_header_reaches(monkeypatch):
    asked = []

    class Watched:
        def __init__(self, window):
            self.real = UNPACK(window)

        def decompress(self, opening, most):
            asked.append(most)
            return self.real.decompress(opening, most)

    monkeypatch.setattr("client.archive.packed.zlib.decompressobj", Watched)
    assert is_packed(gzip.compress(bytes(50_000_000))[:PACKED_BYTES])
    assert asked == [348]


def test_an_archive_of_zips_alone_is_not_empty_and_remembered(series, index, tmp_path):
    paths = series().write(tmp_path / "images", [0])
    (tmp_path / "archive").mkdir()
    with zipfile.ZipFile(tmp_path / "archive" / "one.zip", "w") as packed:
        packed.write(paths[0], "one.dcm")
    settle()
    (first,) = discover(tmp_path / "archive", NAMES, index=index)
    assert first.packed and not first.unreadable
    assert discover(tmp_path / "archive", NAMES, index=index) == (first,)


@pytest.mark.parametrize(
    ("opening", "packed"),
    [
        (b"PK\x03\x04" + bytes(26) + b"image.dcm", True),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", False),
        (b"7z\xbc\xaf\x27\x1c", True),
        (b"Rar!\x1a\x07\x01\x00", True),
        (b"\x1f\x8b\x08\x00", True),
        (b"x" * 257 + b"ustar\x00", True),
        (b"PK", False),
        (b"", False),
        (b"just text" * 60, False),
    ],
)
def test_packed_files_are_told_by_their_first_bytes(opening, packed):
    assert is_packed(opening) is packed
