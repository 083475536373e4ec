"""One series identifier, several scans: each stack is judged by itself, and the best one is used."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import generate_uid

from client.archive.discovery import discover
from client.archive.eligibility import judge_series
from common.study import CohortSettings
from tests.client.archive.looked_through import SAME_HU, difference_hu
from tests.client.heads import vary
from tests.client.looking import NAMES

HALF_STEP = np.array([0, 0, 3.0])


def moved(hu):
    """The patient moved between two scans, and has contrast now."""
    return np.roll(vary(hu, 3), 2, axis=2)


def tagged(**tags):
    def edit(dataset, index):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for keyword, value in tags.items():
            setattr(dataset, keyword, value(index) if callable(value) else value)

    return edit


def clock(start_s, step_s=0.0):
    def at(index):
        seconds = start_s + step_s * index
        return f"10{int(seconds // 60):02d}{seconds % 60:05.2f}"

    return at


# What tells the first scan from the second: edits of each.
TOLD_BY = {
    "acquisition number": (tagged(AcquisitionNumber=1), tagged(AcquisitionNumber=2)),
    "acquisition time": (tagged(AcquisitionTime=clock(0)), tagged(AcquisitionTime=clock(200))),
    "a time for each slice": (tagged(AcquisitionTime=clock(0, 1.5)), tagged(AcquisitionTime=clock(200, 1.5))),
    "a number for each slice": (
        tagged(AcquisitionNumber=lambda index: index + 1),
        tagged(AcquisitionNumber=lambda index: index + 61, InstanceNumber=lambda index: index + 61),
    ),
    "contrast": (tagged(), tagged(ContrastBolusAgent="OMNIPAQUE", InstanceNumber=lambda index: index + 101)),
    "numbers that run twice": (tagged(), tagged(InstanceNumber=lambda index: index + 101)),
    "another frame of reference": (tagged(FrameOfReferenceUID="1.2.1"), tagged(FrameOfReferenceUID="1.2.2")),
}


@pytest.mark.parametrize("told_by", TOLD_BY)
@pytest.mark.parametrize("shift", [0.0, 1.0], ids=["same places", "half a step apart"])
def test_interleaved_scans_of_one_patient_are_parted_and_one_is_used(
    head_series, head_hu, look, sound_hu, tmp_path, told_by, shift
):
    first, second = head_series(edit=TOLD_BY[told_by][0]), head_series(edit=TOLD_BY[told_by][1])
    second.series_uid, second.study_uid = first.series_uid, first.study_uid
    second.hu, second.origins = moved(head_hu), second.origins + shift * HALF_STEP
    first.write(tmp_path / "archive" / "a")
    second.write(tmp_path / "archive" / "b")
    found = look(tmp_path / "archive")
    assert found.codes == ["accepted"]
    assert difference_hu(found.volumes[0], sound_hu) <= SAME_HU
    why = "mixed_orientation" if told_by == "another frame of reference" else "repeated_acquisitions"
    assert found.set_aside == {why: 40}


@pytest.mark.parametrize("apart_mm", [1.5, 2.0])
def test_steps_that_alternate_throughout_are_two_scans(head_series, head_hu, look, tmp_path, apart_mm):
    first = head_series(drop=("InstanceNumber",))
    second = head_series(drop=("InstanceNumber",), series_uid=first.series_uid, study_uid=first.study_uid)
    second.hu, second.origins = moved(head_hu), second.origins + np.array([0, 0, apart_mm])
    first.write(tmp_path / "archive" / "a")
    second.write(tmp_path / "archive" / "b")
    found = look(tmp_path / "archive")
    assert found.codes == ["accepted"]
    assert found.set_aside == {"repeated_acquisitions": 40}


@pytest.mark.parametrize("numbers", ["none", "along the normal"])
@pytest.mark.parametrize("pixels", [1, 4])
def test_scans_that_only_their_pixels_tell_apart_are_refused(head_series, head_hu, look, tmp_path, numbers, pixels):
    order = np.arange(40)
    first, second = head_series(), head_series()
    second.series_uid, second.study_uid = first.series_uid, first.study_uid
    second.hu, second.origins = np.roll(vary(head_hu, 3), pixels, axis=2), second.origins + HALF_STEP
    for place, writer in enumerate((first, second)):
        writer.edit = tagged(InstanceNumber=lambda index, place=place: int(2 * order[index] + place + 1))
        if numbers == "none":
            writer.edit = tagged()
            writer.drop = ("InstanceNumber",)
        writer.write(tmp_path / "archive" / f"{place}")
    assert look(tmp_path / "archive").codes == ["interleaved_scans"]


@pytest.mark.parametrize("second_id", ["SECRET-2", "ANONYMOUS", ""])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_two_patients_under_one_series_are_refused(head_series, look, tmp_path, second_id, shift):
    first = head_series(patient_id="SECRET-1")
    first.write(tmp_path / "archive" / "a")
    second = head_series(patient_id=second_id, series_uid=first.series_uid)
    second.origins = second.origins + shift * HALF_STEP
    second.write(tmp_path / "archive" / "b")
    assert look(tmp_path / "archive").codes == ["mixed_patients"]


BLOCKS = {
    "two blocks": tagged(AcquisitionNumber=lambda index: 1 + index // 20),
    "a block for each four slices": tagged(AcquisitionNumber=lambda index: 1 + index // 4),
    "blocks from above": tagged(AcquisitionNumber=lambda index: 10 - index // 8),
    "a time for each slice": tagged(AcquisitionTime=clock(0, 1.1), AcquisitionNumber=lambda index: index),
    "times without order": tagged(AcquisitionTime=lambda index: f"1011{(37 * index) % 41:02d}"),
    "contrast named in one block": tagged(ContrastBolusAgent=lambda index: "OMNIPAQUE" if index < 20 else ""),
}


@pytest.mark.parametrize("how", BLOCKS)
def test_blocks_of_one_scan_stay_together(head_series, look, sound_hu, tmp_path, how):
    head_series(edit=BLOCKS[how]).write(tmp_path / "archive")
    found = look(tmp_path / "archive", contrast="any")
    assert (found.codes, dict(found.set_aside)) == (["accepted"], {})
    assert difference_hu(found.volumes[0], sound_hu) <= SAME_HU


def test_contrast_named_in_one_block_of_a_scan_is_contrast(head_series, look, tmp_path):
    head_series(edit=BLOCKS["contrast named in one block"]).write(tmp_path / "archive")
    assert look(tmp_path / "archive").codes == ["contrast_enhanced"]


def test_the_finest_scan_is_tried_first_and_gives_way_to_the_next(head_series, head_hu, look, sound_hu, tmp_path):
    whole = head_series(edit=tagged(AcquisitionNumber=1))
    half = head_series(edit=tagged(AcquisitionNumber=2), series_uid=whole.series_uid, study_uid=whole.study_uid)
    half.hu = head_hu[:25]
    half.origins = half.origins[:25] * [1, 1, 0.9]
    whole.write(tmp_path / "archive" / "a")
    half.write(tmp_path / "archive" / "b")
    found = look(tmp_path / "archive")
    assert found.codes == ["accepted"]
    assert difference_hu(found.volumes[0], sound_hu) <= SAME_HU


def test_many_scans_of_many_slices_are_parted_in_little_time(series, tmp_path):
    """A perfusion of 30 scans in which every slice has a time of its own."""
    writer = series(np.zeros((20, 64, 64)), origins=np.array([[0, 0, 6.0 * index] for index in range(20)]))
    writer.write(tmp_path)
    (found,) = discover(tmp_path, NAMES)
    slices = [
        header._replace(
            acquired_s=20.0 * scan + index / 4, instance=f"{scan}{index}", number=None, name=f"{scan} {index}"
        )
        for scan in range(30)
        for index, header in enumerate(found.slices)
    ]
    judged = judge_series(type(found)(found.series, found.patient, tuple(slices)), CohortSettings())
    assert len(judged.plans) == 4
    assert {len(plan.slices) for plan in judged.plans} == {20}
    assert judged.plans[0].slices[0].acquired_s < 20
