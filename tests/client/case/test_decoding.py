from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from client.archive.discovery import discover
from client.archive.pseudonym import Pseudonyms
from client.case.decoding import AIR_HU, UnreadablePixels, averaged, block_mean, decode_slice, decode_stack
from client.dicom import Reader

NAMES = Pseudonyms(b"k" * 32)


def headers(folder):
    found = discover(folder, NAMES)[0].slices
    return sorted(found, key=lambda header: header.position[2])


def one_slice(series, folder, hu, **changes):
    series(np.asarray(hu, dtype=float)[None], **changes).write(folder)
    return headers(folder)[0]


@pytest.fixture
def tissue() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.rint(rng.normal(40, 60, (64, 64)))


@pytest.mark.parametrize("intercept", [0.0, -1024.0, -8192.0])
def test_stored_values_become_hu(series, tmp_path, tissue, intercept):
    hu, _ = decode_slice(one_slice(series, tmp_path, tissue, intercept=intercept))
    assert np.array_equal(hu, tissue)
    assert hu.dtype == np.float32


def test_slope_is_applied(series, tmp_path, tissue):
    header = one_slice(series, tmp_path, tissue, intercept=0.0, tags={"RescaleSlope": "2.5"})
    assert np.allclose(decode_slice(header)[0], np.clip(tissue * 2.5, AIR_HU, None))


@pytest.mark.parametrize(
    ("padding_hu", "stated"), [(-2048.0, None), (-2000.0, -2000), (-1500.0, None), (-1024.0, -1024)]
)
def test_padding_becomes_air(series, tmp_path, tissue, padding_hu, stated):
    tissue[:5] = padding_hu
    tags = {} if stated is None else {"PixelPaddingValue": stated}
    header = one_slice(series, tmp_path, tissue, intercept=0.0, tags=tags)
    hu, (low, _) = decode_slice(header)
    assert (hu[:5] == AIR_HU).all()
    assert np.array_equal(hu[5:], tissue[5:])
    assert low > -1000, "padding must not look like air in the scale check"


@pytest.mark.parametrize("signed", [True, False])
def test_padding_is_read_from_implicit_headers_too(series, tmp_path, tissue, signed):
    """Without a value representation in the file, only the pixels' own sign tells what the padding value is."""
    tissue[:5] = -1000 if signed else -1024

    def restate(dataset, index):
        dataset.PixelRepresentation = int(signed)
        dataset.PixelPaddingValue = -1000 if signed else 0

    changes = {"intercept": 0.0 if signed else -1024.0, "edit": restate, "syntax": ImplicitVRLittleEndian}
    header = one_slice(series, tmp_path, tissue, **changes)
    assert header.padding == (-1000 if signed else 0)
    assert (decode_slice(header)[0][:5] == AIR_HU).all()


def test_signed_padding_stated_as_unsigned_is_understood(series, tmp_path, tissue):
    tissue[:5] = -1000
    header = one_slice(series, tmp_path, tissue, intercept=0.0)._replace(padding=65536 - 1000)
    _, (low, _) = decode_slice(header)
    assert low > -900, "padding must not look like air in the scale check"


def test_ring_of_zeros_outside_the_field_of_view_becomes_air_and_tissue_of_the_same_value_stays(
    series, tmp_path, tissue
):
    y, x = np.mgrid[:64, :64] - 31.5
    ring = x**2 + y**2 > 33**2
    tissue[ring] = 0
    tissue[30:34, 30:34] = 0
    hu, _ = decode_slice(one_slice(series, tmp_path, tissue, intercept=0.0, tags={"PixelPaddingValue": 0}))
    assert (hu[ring] == AIR_HU).all()
    assert (hu[30:34, 30:34] == 0).all()


def test_metal_stays_and_nothing_is_below_air(series, tmp_path, tissue):
    tissue[0, :2] = (-1100, 30_000)
    hu, _ = decode_slice(one_slice(series, tmp_path, tissue, intercept=0.0))
    assert hu[0, 0] == AIR_HU
    assert hu[0, 1] == 30_000


def test_compressed_and_big_endian_pixels_equal_plain_ones(series, tmp_path, tissue):
    def to_rle(dataset, index):
        dataset.compress(RLELossless, generate_instance_uid=False)

    def to_big_endian(dataset, index):
        swapped = np.frombuffer(dataset.PixelData, np.int16).byteswap()
        dataset.PixelData = swapped.tobytes()
        dataset["PixelData"].VR = "OW"

    plain = decode_slice(one_slice(series, tmp_path / "plain", tissue))[0]
    rle = decode_slice(one_slice(series, tmp_path / "rle", tissue, edit=to_rle))[0]
    big = one_slice(series, tmp_path / "big", tissue, edit=to_big_endian, syntax=ExplicitVRBigEndian)
    assert np.array_equal(plain, tissue)
    assert np.array_equal(rle, plain)
    assert np.array_equal(decode_slice(big)[0], plain)


@pytest.mark.parametrize("damage", ["truncated", "absent", "colour", "gone", "resized"])
def test_pixels_that_cannot_be_trusted_are_refused(series, tmp_path, tissue, damage):
    def change(dataset, index):
        if damage == "colour":
            dataset.SamplesPerPixel = 3

    header = one_slice(series, tmp_path, tissue, edit=change, drop=("PixelData",) if damage == "absent" else ())
    if damage == "truncated":
        header.path.write_bytes(header.path.read_bytes()[:-2000])
    elif damage == "gone":
        header.path.unlink()
    elif damage == "resized":
        header = header._replace(rows=32)
    with pytest.raises(UnreadablePixels):
        decode_slice(header)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_mutated_files_decode_or_are_refused(tmp_path_factory, data):
    sample = pydicom.data.get_testdata_file("CT_small.dcm", download=False)
    content = bytearray(Path(sample).read_bytes())
    folder = tmp_path_factory.mktemp("mutated")
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(132, 6500))] = data.draw(st.integers(0, 255))
    (folder / "a").write_bytes(bytes(content[: data.draw(st.integers(6000, len(content)))]))
    for found in discover(folder, NAMES):
        for header in found.slices:
            try:
                hu, _ = decode_slice(header)
            except UnreadablePixels:
                continue
            assert hu.shape == (header.rows, header.columns)
            assert np.isfinite(hu).all() and hu.min() >= AIR_HU


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_block_mean_equals_the_plain_mean_of_each_block(data):
    shape = data.draw(st.tuples(*[st.integers(4, 9)] * 3))
    blocks = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    volume = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    counts = [n // b for n, b in zip(shape, blocks, strict=True)]
    expected = np.empty(counts, np.float32)
    for index in np.ndindex(*counts):
        part = tuple(slice(i * b, (i + 1) * b) for i, b in zip(index, blocks, strict=True))
        expected[index] = volume[part].mean(dtype=np.float64)
    assert np.allclose(block_mean(volume, blocks), expected, atol=1e-5)


def test_fine_pixels_and_slices_are_averaged_around_the_same_places(series, tmp_path):
    """A ramp in mm reads the same at every averaged voxel's own place."""
    origins = np.array([[-10.0, -20.0, 5.0 + 0.5 * index] for index in range(39)])
    z, y, x = np.meshgrid(origins[:, 2], -20 + 0.4 * np.arange(64), -10 + 0.5 * np.arange(48), indexing="ij")
    series(10 * x + 20 * y + 30 * z, origins=origins, spacing_mm=(0.4, 0.5)).write(tmp_path)
    stack = decode_stack(headers(tmp_path), 2.4)
    assert stack.voxel_mm == pytest.approx((1.5, 1.6, 1.5))
    for index in ((0, 0, 0), (3, 5, 7), (10, 11, 2)):
        place = stack.origins_mm[index[0]] + index[1] * stack.row_mm + index[2] * stack.column_mm
        assert stack.hu[index] == pytest.approx(place @ [10, 20, 30], abs=0.6)


def test_coarse_series_are_left_as_they_are(series, tmp_path):
    writer = series()
    writer.write(tmp_path)
    assert np.array_equal(decode_stack(headers(tmp_path), 2.4).hu, writer.hu)


def test_a_stack_averaged_after_decoding_equals_one_averaged_while_decoding(series, tmp_path):
    """Blocks of 2 slices, 3 rows and 3 columns; one slice and one pixel are left over."""
    hu = np.rint(np.random.default_rng(0).normal(40, 200, (13, 64, 64)))
    origins = np.array([[-1.0, 2.0, 1.5 * index] for index in range(13)])
    series(hu, origins=origins, spacing_mm=(1.0, 1.0)).write(tmp_path)
    slices = headers(tmp_path)
    whole, expected = decode_stack(slices, None), decode_stack(slices, 5.0)
    assert whole.hu.shape == (13, 64, 64)
    assert expected.hu.shape == (7, 21, 21)
    found = averaged(whole, 5.0)
    for name in ("hu", "origins_mm", "row_mm", "column_mm"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)
    assert (found.raw_low_hu, found.raw_high_hu) == (expected.raw_low_hu, expected.raw_high_hu)
    assert found.origins_mm[:2, 2] == pytest.approx([0.75, 3.75])
    assert averaged(found, 5.0) is found


def enhanced_object(classic):
    """One Enhanced CT of the slices of a classic series."""
    slices = [pydicom.dcmread(path) for path in classic]
    whole = pydicom.dcmread(classic[0])
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2.1")
    whole.NumberOfFrames = len(slices)

    def groups(**sequences):
        made = pydicom.Dataset()
        for name, source in sequences.items():
            item = pydicom.Dataset()
            for keyword in source[1]:
                item[keyword] = source[0][keyword]
            setattr(made, name, pydicom.Sequence([item]))
        return made

    whole.SharedFunctionalGroupsSequence = pydicom.Sequence(
        [
            groups(
                PlaneOrientationSequence=(slices[0], ["ImageOrientationPatient"]),
                PixelMeasuresSequence=(slices[0], ["PixelSpacing"]),
                PixelValueTransformationSequence=(slices[0], ["RescaleSlope", "RescaleIntercept"]),
            )
        ]
    )
    own = [groups(PlanePositionSequence=(one, ["ImagePositionPatient"])) for one in slices]
    whole.PerFrameFunctionalGroupsSequence = pydicom.Sequence(own)
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "RescaleSlope"):
        del whole[keyword]
    whole.PixelData = b"".join(one.PixelData for one in slices)
    return whole


@pytest.mark.parametrize("compressed", [False, True])
def test_an_enhanced_head_equals_its_classic_slices(head_series, tmp_path, compressed):
    writer = head_series()
    order = np.random.default_rng(1).permutation(len(writer.hu))
    classic = writer.write(tmp_path / "classic", order)
    (tmp_path / "enhanced").mkdir()
    whole = enhanced_object(classic)
    if compressed:
        whole.compress(RLELossless, generate_instance_uid=False)
    whole.save_as(tmp_path / "enhanced" / "one")
    expected = decode_stack(headers(tmp_path / "classic"), 4.0)
    slices = headers(tmp_path / "enhanced")
    assert len(slices) == len(writer.hu)
    assert len({header.path for header in slices}) == 1
    found = decode_stack(slices, 4.0)
    for name in ("hu", "origins_mm", "row_mm", "column_mm", "raw_low_hu", "raw_high_hu"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def test_a_file_replaced_since_it_was_found_is_refused(series, tmp_path, tissue):
    header = one_slice(series, tmp_path, tissue)
    header.path.write_bytes(header.path.read_bytes() + b"\0\0")
    with pytest.raises(UnreadablePixels, match="changed"):
        decode_slice(header)


def test_a_stack_that_cannot_be_decoded_leaves_the_reader_ready(series, tmp_path):
    writer = series()
    writer.write(tmp_path)
    slices = headers(tmp_path)
    kept = slices[20].path.read_bytes()
    with Reader() as reader:
        damaged = kept[: kept.index(b"\x28\x00\x10\x00")]
        slices[20].path.write_bytes(damaged + bytes(len(kept) - len(damaged)))
        with pytest.raises(UnreadablePixels):
            decode_stack(slices, None, reader)
        slices[20].path.write_bytes(kept)
        assert np.array_equal(decode_stack(slices, None, reader).hu, writer.hu)
