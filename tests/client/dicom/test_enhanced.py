"""An Enhanced CT gives the same slices as the classic series it could have been."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import UID, RLELossless

from client.dicom import Frame
from client.header.enhanced import MOST_FRAMES

ENHANCED = UID("1.2.840.10008.5.1.4.1.1.2.1")
LEGACY = UID("1.2.840.10008.5.1.4.1.1.2.2")


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def group(**sequences):
    """A functional group: each named sequence with one item."""
    return item(**{name: Sequence([item(**values)]) for name, values in sequences.items()})


def position(index):
    return [-10.5, 2.0 + 0.5 * index, 3.25 * index]


def per_frame(index, **more):
    return group(
        PlanePositionSequence={"ImagePositionPatient": position(index)},
        FrameContentSequence={"InStackPositionNumber": index + 1},
        **more,
    )


SHARED = {
    "PlaneOrientationSequence": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    "PixelMeasuresSequence": {"PixelSpacing": [0.5, 0.75], "SliceThickness": "3"},
    "PixelValueTransformationSequence": {"RescaleSlope": "1", "RescaleIntercept": "-1024", "RescaleType": "HU"},
    "CTImageFrameTypeSequence": {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]},
    "CTXRayDetailsSequence": {"KVP": "120"},
}
CLASSIC_ONLY = ["ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"]


@pytest.fixture
def enhanced(ct, tmp_path):
    """Writes an Enhanced CT of frames; ``shared`` and ``own`` are its functional groups."""

    def make(stored, shared=None, own=None, sop_class=ENHANCED, syntax=None, **tags):
        dataset = ct.object(stored, SOPClassUID=sop_class, **tags)
        dataset.file_meta.MediaStorageSOPClassUID = sop_class
        for keyword in (*CLASSIC_ONLY, "KVP"):
            del dataset[keyword]
        dataset.SharedFunctionalGroupsSequence = Sequence([group(**(SHARED if shared is None else shared))])
        frames = [per_frame(index) for index in range(len(stored))] if own is None else own
        dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
        if syntax is not None:
            dataset.compress(syntax, generate_instance_uid=False)
        return ct.save(tmp_path / "enhanced", dataset)

    return make


def headers(reader, path):
    (answer,) = reader.headers([path])
    return answer.images


@pytest.mark.parametrize("syntax", [None, RLELossless])
def test_frames_equal_the_classic_series(ct, reader, head_like, enhanced, tmp_path, syntax):
    path = enhanced(head_like, syntax=syntax)
    found = headers(reader, path)
    assert len(found) == len(head_like)
    for index, (stored, header) in enumerate(zip(head_like, found, strict=True)):
        classic = ct.object(stored, ImagePositionPatient=position(index), SliceThickness="3", InstanceNumber=index + 1)
        (expected,) = headers(reader, ct.save(tmp_path / "classic", classic))
        same = {
            "sop_class": ENHANCED,
            "image_type": ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
            "transfer_syntax": header.transfer_syntax,
            "frame": index,
        }
        assert header == replace(expected, **same)
    pixels = list(reader.frames(Frame(path, *head_like[0].shape, header.frame) for header in reversed(found)))
    assert np.array_equal(pixels[::-1], head_like)


def test_what_a_frame_says_itself_comes_before_what_frames_share(reader, head_like, enhanced):
    own = [per_frame(index) for index in range(4)]
    own.append(
        per_frame(
            4,
            PixelMeasuresSequence={"PixelSpacing": [2, 2], "SliceThickness": "7"},
            PlaneOrientationSequence={"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
            PixelValueTransformationSequence={"RescaleSlope": "2", "RescaleIntercept": "5"},
            CTImageFrameTypeSequence={"FrameType": ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]},
            CTXRayDetailsSequence={"KVP": "80"},
        )
    )
    *others, last = headers(reader, enhanced(head_like, own=own))
    assert {(header.kvp, header.slope, header.thickness_mm) for header in others} == {(120.0, 1.0, 3.0)}
    assert (last.kvp, last.slope, last.intercept, last.thickness_mm) == (80.0, 2.0, 5.0, 7.0)
    assert last.pixel_spacing_mm == (2.0, 2.0)
    assert last.orientation == (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    assert last.image_type[0] == "DERIVED"


def test_a_group_that_nobody_gives_is_absent(reader, head_like, enhanced):
    (first, *_) = headers(reader, enhanced(head_like, shared={}))
    assert (first.orientation, first.pixel_spacing_mm) == ((), ())
    assert (first.slope, first.intercept, first.kvp, first.thickness_mm) == (None, None, None, None)
    assert first.position == (-10.5, 2.0, 0.0)
    assert first.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")


def test_legacy_converted_objects_keep_what_their_slices_said(reader, head_like, enhanced):
    shared = {name: values for name, values in SHARED.items() if name != "CTXRayDetailsSequence"}
    shared["UnassignedSharedConvertedAttributesSequence"] = {"KVP": "135", "ContrastBolusAgent": "OMNIPAQUE"}
    for header in headers(reader, enhanced(head_like, shared=shared, sop_class=LEGACY)):
        assert (header.kvp, header.contrast, header.frames) == (135.0, True, 1)


@pytest.mark.parametrize(
    ("agents", "usage", "contrast"),
    [(False, None, False), (True, None, True), (True, "NO", False), (True, "YES", True), (False, "YES", True)],
)
def test_contrast_is_what_the_frame_says_or_else_what_the_object_names(
    reader, head_like, enhanced, agents, usage, contrast
):
    shared = dict(SHARED)
    if usage is not None:
        shared["ContrastBolusUsageSequence"] = {"ContrastBolusAgentAdministered": usage}
    tags = {"ContrastBolusAgentSequence": Sequence([item(CodeValue="C-B0322")])} if agents else {}
    found = headers(reader, enhanced(head_like, shared=shared, **tags))
    assert {header.contrast for header in found} == {contrast}


@pytest.mark.parametrize("frames", [4, 6, MOST_FRAMES + 1, 0, -1])
def test_an_object_that_cannot_be_told_apart_is_one_header(reader, head_like, enhanced, frames):
    (whole,) = headers(reader, enhanced(head_like, NumberOfFrames=frames))
    assert whole.frames == (frames or 1)
    assert whole.frame == 0


def test_a_classic_multi_frame_object_is_one_header(ct, reader, head_like, tmp_path):
    (whole,) = headers(reader, ct.save(tmp_path / "a", ct.object(head_like)))
    assert whole.frames == len(head_like)


def test_the_frames_of_a_real_perfusion_are_told_apart(reader, real_ct, tmp_path):
    with zipfile.ZipFile(real_ct / "bad_inputs" / "enhanced_ct_multiframe_perfusion.zip") as archive:
        archive.extractall(tmp_path)
    (path,) = tmp_path.rglob("*.dcm")
    found = headers(reader, path)
    assert [header.position for header in found] == [(99.5, -301.5, -159.0), (99.5, -301.5, -149.0)]
    for header in found:
        assert header.image_type == ("DERIVED", "PRIMARY", "PERFUSION", "RCBF")
        assert (header.rows, header.columns, header.frames) == (512, 512, 1)
        assert (header.slope, header.intercept, header.thickness_mm) == (1.0, -1024.0, 10.0)
        assert header.contrast
    first, second = reader.frames(Frame(path, 512, 512, header.frame) for header in found)
    assert not np.array_equal(first, second)
