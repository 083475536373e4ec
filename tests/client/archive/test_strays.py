"""Images that do not belong to a series' stack are set aside and counted; copies are proved by their pixels."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless, SecondaryCaptureImageStorage, generate_uid

from tests.client.archive.looked_through import SAME_HU, difference_hu
from tests.client.heads import vary

CORONAL, SAGITTAL, OBLIQUE = (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1), (0.94, 0.34, 0, -0.34, 0.94, 0)


def beside(writer, folder, count=1, **changes):
    """Write images into a series' folder that differ from its first slices."""
    paths = writer.write(folder / "strays", range(count))
    for number, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.InstanceNumber = 900 + number
        for keyword, value in changes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(path, enforce_file_format=True)


STRAYS = {
    "a coronal reformat": ({"ImageOrientationPatient": list(CORONAL)}, "mixed_orientation", 1),
    "reformats of a fan": ({"ImageOrientationPatient": list(OBLIQUE)}, "mixed_orientation", 12),
    "a scout of another size": ({"ImageOrientationPatient": list(SAGITTAL), "Rows": 40}, "mixed_size", 1),
    "a page without a place": ({"ImagePositionPatient": None}, "no_geometry", 2),
    "a capture": (
        {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "CT", "ImageType": ["DERIVED", "SECONDARY"]},
        "localizer_or_derived",
        1,
    ),
    "a report": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22", "Modality": "SR"}, "not_ct", 1),
    "an iodine map": ({"RescaleType": "MGML"}, "not_hu", 3),
    "a wider reconstruction": ({"PixelSpacing": [3.3, 3.3]}, "mixed_size", 5),
    "bolus tracking below the head": (
        {"ImagePositionPatient": [-94.5, -118.5, -180.0], "AcquisitionNumber": 7, "SliceThickness": "10"},
        "repeated_acquisitions",
        15,
    ),
    "a test injection at a slice": (
        {"ImagePositionPatient": [-94.5, -118.5, -57.0], "AcquisitionNumber": 7},
        "repeated_acquisitions",
        15,
    ),
    "tracking that nothing tells apart": (
        {"ImagePositionPatient": [-94.5, -118.5, -57.0]},
        "repeated_acquisitions",
        15,
    ),
    "tracking between two slices": ({"ImagePositionPatient": [-94.5, -118.5, -55.0]}, "repeated_acquisitions", 15),
}


@pytest.mark.parametrize("what", STRAYS)
def test_strays_are_set_aside_and_counted_and_the_stack_is_used(head_series, look, sound_hu, tmp_path, what):
    changes, why, count = STRAYS[what]
    writer = head_series()
    writer.write(tmp_path / "archive")
    beside(writer, tmp_path / "archive", count, **changes)
    found = look(tmp_path / "archive")
    assert (found.codes, dict(found.set_aside)) == (["accepted"], {why: count})
    assert difference_hu(found.volumes[0], sound_hu) <= SAME_HU


def again(paths, folder, change):
    """Write objects again, changed."""
    folder.mkdir(parents=True)
    for number, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        change(dataset, number)
        dataset.save_as(folder / path.name, enforce_file_format=True)


def with_comment(dataset, number):
    dataset.ImageComments = "x" * (1 + number % 7)


def with_new_uid(dataset, number):
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()


def compressed(dataset, number):
    dataset.compress(RLELossless if number % 2 else JPEGLSLossless, generate_instance_uid=True)


def rescaled(dataset, number):
    with_new_uid(dataset, number)
    dataset.RescaleIntercept = "0"
    dataset.PixelData = (dataset.pixel_array - 1024).astype(np.int16).tobytes()


COPIES = {
    "the same file": lambda dataset, number: None,
    "another header": with_comment,
    "new identifiers": with_new_uid,
    "compressed": compressed,
    "the offset in the values": rescaled,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("some", [slice(None), slice(3, 4), slice(10, 25)], ids=["all", "one", "some"])
def test_copies_of_slices_count_once(head_series, look, sound_hu, tmp_path, how, some):
    paths = head_series().write(tmp_path / "archive" / "a")
    again(paths[some], tmp_path / "archive" / "b", COPIES[how])
    found = look(tmp_path / "archive")
    assert (found.codes, dict(found.set_aside)) == (["accepted"], {"copies": len(paths[some])})
    assert difference_hu(found.volumes[0], sound_hu) == 0
    assert found.findings.flow.eligible == 1


@pytest.mark.parametrize(
    ("some", "code"), [(slice(None), "repeated_acquisitions"), (slice(3, 4), "duplicate_slices")], ids=["all", "one"]
)
def test_other_pixels_at_one_place_are_no_copies(head_series, look, tmp_path, some, code):
    paths = head_series().write(tmp_path / "archive" / "a")

    def noisy(dataset, number):
        with_new_uid(dataset, number)
        dataset.PixelData = vary(dataset.pixel_array, 5).astype(np.int16).tobytes()

    again(paths[some], tmp_path / "archive" / "b", noisy)
    found = look(tmp_path / "archive")
    assert found.codes == [code]
    assert (found.findings.flow.found, found.findings.flow.eligible) == (1, 0)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([*range(1, 21), *range(1, 21)], "accepted"),
        ([*range(20, 0, -1), *range(20, 0, -1)], "accepted"),
        ([*range(1, 39), 7, 8], "duplicate_numbers"),
        ([1 + index // 2 for index in range(40)], "duplicate_numbers"),
        ([(7 * index) % 20 for index in range(40)], "duplicate_numbers"),
    ],
    ids=["restart", "fall and restart", "the last two", "in pairs", "without order"],
)
def test_numbers_restart_with_blocks_alone(head_series, look, tmp_path, numbers, code):
    edit = lambda dataset, index: setattr(dataset, "InstanceNumber", numbers[index])  # noqa: E731
    head_series(edit=edit).write(tmp_path / "archive")
    assert look(tmp_path / "archive").codes == [code]


def test_geometry_that_jitters_is_one_stack(head_series, look, sound_hu, tmp_path):
    rng = np.random.default_rng(4)

    def edit(dataset, index):
        turn = np.array(dataset.ImageOrientationPatient, float) + rng.normal(0, 4e-4, 6)
        dataset.ImageOrientationPatient = [round(value, 6) for value in turn]
        dataset.PixelSpacing = [3.0002, 3.0002] if index % 3 else [3.0, 3.0]

    head_series(edit=edit).write(tmp_path / "archive")
    found = look(tmp_path / "archive")
    assert (found.codes, dict(found.set_aside)) == (["accepted"], {})
    assert difference_hu(found.volumes[0], sound_hu) <= SAME_HU


@pytest.mark.parametrize("spacing", [(3.02, 3.02), (3.0, 3.02)])
def test_reconstructions_of_another_field_of_view_are_not_mixed(head_series, look, tmp_path, spacing):
    edit = lambda dataset, index: setattr(dataset, "PixelSpacing", [3.0, 3.0] if index < 36 else list(spacing))  # noqa: E731
    head_series(edit=edit).write(tmp_path / "archive")
    assert look(tmp_path / "archive").set_aside == {"mixed_size": 4}
