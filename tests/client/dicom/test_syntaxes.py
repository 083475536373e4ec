"""Every transfer syntax that is said to be decodable gives the pixels that were encoded."""

from __future__ import annotations

from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from client.dicom import Fault, Frame, decodable
from client.dicom.syntaxes import DECODERS, NATIVE

CODESTREAMS = Path(__file__).parent / "htj2k"
PLAIN = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def read(reader, path, shape, frame=0):
    (answer,) = reader.frames([Frame(path, *shape, frame)])
    return answer


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_plain_encodings_give_the_stored_values(ct, reader, head_like, tmp_path, syntax, bits, signed):
    stored = head_like if signed else (head_like + 1024).astype(np.uint16)
    path = ct.save(tmp_path / "a", ct.object(stored[0], bits=bits, syntax=syntax))
    found = read(reader, path, stored[0].shape)
    assert found.dtype == stored.dtype
    assert np.array_equal(found, stored[0])
    assert not found.flags.writeable


@pytest.mark.parametrize("name", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1"])
@pytest.mark.parametrize(("bits", "signed"), [(12, False), (16, True), (16, False)])
def test_lossless_jpeg_gives_the_stored_values(ct, reader, head_like, tmp_path, name, bits, signed):
    stored = head_like if signed else (head_like + 1024).astype(np.uint16)
    plain = ct.save(tmp_path / "plain", ct.object(stored[0], bits=bits))
    coded = ct.recode(plain, tmp_path / "coded", name)
    assert pydicom.dcmread(coded).file_meta.TransferSyntaxUID.is_compressed
    found = read(reader, coded, stored[0].shape)
    assert found.dtype == stored.dtype
    assert np.array_equal(found, stored[0])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_other_lossless_encodings_give_the_stored_values(ct, reader, head_like, tmp_path, syntax, bits, signed):
    stored = head_like if signed else (head_like + 1024).astype(np.uint16)
    dataset = ct.object(stored[0], bits=bits)
    dataset.compress(syntax, generate_instance_uid=False)
    found = read(reader, ct.save(tmp_path / "a", dataset), stored[0].shape)
    assert found.dtype == stored.dtype
    assert np.array_equal(found, stored[0])


@pytest.mark.parametrize(
    ("syntax", "options", "most"),
    [(JPEGLSNearLossless, {"jls_error": 3}, 3), (JPEG2000, {"j2k_cr": [2]}, 8)],
    ids=["JPEGLSNearLossless", "JPEG2000"],
)
def test_lossy_encodings_give_nearly_the_stored_values(ct, reader, head_like, tmp_path, syntax, options, most):
    stored = (head_like[0] + 1024).astype(np.uint16)
    dataset = ct.object(stored, bits=12)
    dataset.compress(syntax, generate_instance_uid=False, **options)
    found = read(reader, ct.save(tmp_path / "a", dataset), stored.shape)
    assert 0 < np.abs(found.astype(int) - stored).max() <= most


def test_extended_jpeg_of_12_bits_gives_nearly_the_stored_values(ct, reader, tmp_path):
    y, x = np.mgrid[:48, :64]
    stored = np.rint(2000 + 900 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint16)
    plain = ct.save(tmp_path / "plain", ct.object(stored, bits=12))
    found = read(reader, ct.recode(plain, tmp_path / "coded", "JPEGExtendedProcess2_4"), stored.shape)
    assert 0 < np.abs(found.astype(int) - stored).max() <= 8


def test_baseline_jpeg_of_8_bits_gives_nearly_the_stored_values(ct, reader, tmp_path):
    y, x = np.mgrid[:48, :64]
    stored = np.rint(128 + 90 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    plain = ct.save(tmp_path / "plain", ct.object(stored, bits=8, BitsAllocated=8))
    coded = ct.recode(plain, tmp_path / "coded", "JPEGBaselineProcess1")
    assert pydicom.dcmread(coded).file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    found = read(reader, coded, stored.shape)
    assert found.dtype == np.uint8
    assert 0 < np.abs(found.astype(int) - stored).max() <= 8


@pytest.mark.parametrize(
    ("syntax", "codestream", "most"),
    [
        (HTJ2KLossless, "signed", 0),
        (HTJ2KLossless, "unsigned", 0),
        (HTJ2KLosslessRPCL, "by_resolution", 0),
        (HTJ2K, "signed", 0),
        (HTJ2K, "lossy", 8),
    ],
    ids=lambda value: getattr(value, "keyword", str(value)),
)
def test_high_throughput_jpeg_2000_of_another_coder_gives_the_stored_values(
    ct, reader, tmp_path, syntax, codestream, most
):
    """OpenJPH wrote the codestreams; OpenJPEG, which reads them here, writes none of this kind."""
    y, x = np.mgrid[:24, :32]
    stored = (7 * (x - 13) ** 2 - 9 * (y - 10) ** 2 + 300 * (x > y)).astype(np.int16)
    if codestream in ("unsigned", "lossy"):
        stored = (stored + 1800).astype(np.uint16)
    dataset = ct.object(stored, syntax=syntax)
    dataset.PixelData = encapsulate([(CODESTREAMS / f"{codestream}.j2c").read_bytes()])
    found = read(reader, ct.save(tmp_path / "a", dataset), stored.shape)
    assert found.dtype == stored.dtype
    assert np.abs(found.astype(int) - stored).max() <= most


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_extended_jpeg_equals_gdcms_own_file_reader(reader, name):
    path = get_testdata_file(name, download=False)
    source = gdcm.ImageReader()
    source.SetFileName(path)
    assert source.Read()
    expected = source.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    assert read(reader, Path(path), (1024, 256)).tobytes() == expected


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_expb.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_padded.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ],
)
def test_files_of_other_writers_equal_their_plain_twins(reader, name, reference):
    paths = (Path(get_testdata_file(file, download=False)) for file in (name, reference))
    found, expected = (read(reader, path, (64, 64)) for path in paths)
    assert np.array_equal(found, expected)


def test_every_syntax_that_is_said_to_be_decodable_has_its_decoder_and_no_other_is(reader):
    for syntax in map(UID, AllTransferSyntaxes):
        if decodable(syntax) and syntax not in NATIVE and DECODERS[syntax].plugin != "gdcm-extended":
            assert DECODERS[syntax].plugin in get_decoder(syntax).available_plugins
    assert decodable("")
    assert not decodable("1.2.840.10008.1.2.4.100"), "video"
    assert not decodable("1.2.3.4")


def test_an_unknown_syntax_is_damaged_pixels(ct, reader, head_like, tmp_path):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    known, unknown = ExplicitVRLittleEndian.encode() + b"\0", b"1.2.840.10008.1.9.9\0"
    assert len(known) == len(unknown)
    path.write_bytes(path.read_bytes().replace(known, unknown, 1))
    assert read(reader, path, head_like[0].shape) is Fault.DAMAGED


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless], ids=lambda uid: uid.keyword
)
def test_each_frame_of_a_multi_frame_object_is_its_own(ct, reader, head_like, tmp_path, syntax):
    dataset = ct.object(head_like, syntax=ExplicitVRLittleEndian if syntax.is_compressed else syntax)
    if syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
    path = ct.save(tmp_path / "a", dataset)
    order = [3, 0, 4, 1, 2, 3]
    found = list(reader.frames(Frame(path, *head_like[0].shape, frame) for frame in order))
    assert all(np.array_equal(values, head_like[frame]) for values, frame in zip(found, order, strict=True))
    assert read(reader, path, head_like[0].shape, frame=5) is Fault.DAMAGED
