from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage, generate_uid

from client.archive.discovery import discover
from client.archive.eligibility import MAXIMUM_EDGE_PIXELS, judge_headers
from client.archive.pseudonym import Pseudonyms
from client.archive.slice_plan import Plan
from client.archive.verdict_codes import VerdictCode
from client.case.acceptance import judge_alignment, judge_scale
from client.case.alignment import Alignment
from client.case.construction import Recipe, construct_case
from client.case.decoding import SliceStack
from client.case.volume import Pose
from client.cohort.verdict_wording import MENDS, REASONS
from common.study import CohortSettings

NAMES = Pseudonyms(b"k" * 32)
LIMITS = CohortSettings()


def judged(writer, folder, limits=LIMITS):
    writer.write(folder)
    return judge_headers(discover(folder, NAMES)[0], limits)


def rotated(tilt_deg):
    angle = np.radians(tilt_deg)
    return (1.0, 0.0, 0.0, 0.0, np.cos(angle), -np.sin(angle))


def turned_each(dataset, index):
    turn = np.radians(2.0 * index)
    dataset.ImageOrientationPatient = [np.cos(turn), np.sin(turn), 0, -np.sin(turn), np.cos(turn), 0]


def wider_each(dataset, index):
    dataset.PixelSpacing = [3.5 + 0.01 * index] * 2


def renumbered_last(dataset, index):
    if index == 39:
        dataset.InstanceNumber = "12"


def one_instance(dataset, index):
    if index == 39:
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[dataset.SeriesInstanceUID, "12"])


def steps(*heights):
    return np.array([[-100.0, -100.0, height] for height in heights])


HEADER_FAULTS = {
    VerdictCode.NOT_CT: {"sop_class": MRImageStorage, "tags": {"Modality": "MR"}},
    VerdictCode.MULTI_FRAME: {"tags": {"NumberOfFrames": 2}},
    VerdictCode.LOCALIZER_OR_DERIVED: {"tags": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}},
    VerdictCode.NO_GEOMETRY: {"drop": ("ImagePositionPatient",)},
    VerdictCode.NO_RESCALE: {"drop": ("RescaleIntercept",)},
    VerdictCode.TOO_LARGE: {"tags": {"Rows": MAXIMUM_EDGE_PIXELS + 1}},
    VerdictCode.TOO_FEW_SLICES: {"hu": np.zeros((9, 64, 64))},
    VerdictCode.MIXED_ORIENTATION: {"edit": turned_each},
    VerdictCode.MIXED_SIZE: {"edit": wider_each},
    VerdictCode.TILT_BEYOND_LIMITS: {"orientation": rotated(40)},
    VerdictCode.REPEATED_ACQUISITIONS: {"origins": steps(*range(0, 80, 4), *range(0, 80, 4))},
    VerdictCode.DUPLICATE_SLICES: {"origins": steps(*range(0, 156, 4), 0.01)},
    VerdictCode.DUPLICATE_NUMBERS: {"edit": renumbered_last},
    VerdictCode.SLICE_GAPS: {"origins": steps(*range(0, 80, 4), *range(84, 164, 4))},
    VerdictCode.TOO_THICK: {"origins": steps(*np.arange(40) * 8.5)},
    VerdictCode.COVERAGE_TOO_SHORT: {"origins": steps(*np.arange(40) * 2.0)},
}


def test_a_sound_series_is_planned_in_order_along_the_normal(series, tmp_path):
    writer = series(tags={"SliceThickness": "4"})
    writer.write(tmp_path, np.random.default_rng(0).permutation(40))
    plan = judge_headers(discover(tmp_path, NAMES)[0], LIMITS)
    assert isinstance(plan, Plan)
    assert [header.position[2] for header in plan.slices] == sorted(writer.origins[:, 2])
    assert (plan.spacing_mm, plan.coverage_mm, plan.tilt_deg) == pytest.approx((4.0, 160.0, 0.0))


@pytest.mark.parametrize("code", HEADER_FAULTS)
def test_each_fault_in_the_headers_has_its_verdict(series, tmp_path, code):
    fault = dict(HEADER_FAULTS[code])
    assert judged(series(fault.pop("hu", None), **fault), tmp_path) is code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tags": {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}}, VerdictCode.LOCALIZER_OR_DERIVED),
        ({"sop_class": SecondaryCaptureImageStorage}, VerdictCode.LOCALIZER_OR_DERIVED),
        ({"origins": steps(*[50.0] * 40)}, VerdictCode.REPEATED_ACQUISITIONS),
        ({"edit": one_instance}, VerdictCode.DUPLICATE_NUMBERS),
        ({"drop": ("PixelSpacing",)}, VerdictCode.NO_GEOMETRY),
        ({"drop": ("ImageOrientationPatient",)}, VerdictCode.NO_GEOMETRY),
        ({"orientation": (1, 0, 0, 0.5, 0.5, 0)}, VerdictCode.NO_GEOMETRY),
        ({"spacing_mm": (30.0, 30.0)}, VerdictCode.NO_GEOMETRY),
        ({"tags": {"RescaleSlope": "0"}}, VerdictCode.NO_RESCALE),
        ({"orientation": rotated(-40)}, VerdictCode.TILT_BEYOND_LIMITS),
        ({"orientation": (0, 1, 0, 0, 0, -1)}, VerdictCode.TILT_BEYOND_LIMITS),
    ],
)
def test_other_ways_to_the_same_verdicts(series, tmp_path, change, code):
    assert judged(series(**change), tmp_path) is code


def test_compression_that_cannot_be_decoded_is_named(series, tmp_path):
    series().write(tmp_path)
    found = discover(tmp_path, NAMES)[0]
    undecodable = replace(found, slices=tuple(header._replace(decodable=False) for header in found.slices))
    assert judge_headers(undecodable, LIMITS) is VerdictCode.COMPRESSION_UNSUPPORTED


def test_localizers_inside_a_series_are_left_out(series, tmp_path):
    def scout(dataset, index):
        if index < 2:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    assert len(judged(series(edit=scout), tmp_path).slices) == 38


def test_a_file_copied_twice_counts_once(series, tmp_path):
    writer = series()
    writer.write(tmp_path / "a")
    writer.write(tmp_path / "b")
    assert len(judge_headers(discover(tmp_path, NAMES)[0], LIMITS).slices) == 40


@pytest.mark.parametrize("tilt_deg", [-18.5, 0.0, 25.0])
@pytest.mark.parametrize("flip", [1, -1])
def test_gantry_tilt_is_measured_with_its_sign(series, tmp_path, tilt_deg, flip):
    row = np.array(rotated(tilt_deg)[:3]) * flip
    column = np.array(rotated(tilt_deg)[3:]) * flip
    plan = judged(series(orientation=(*row, *column)), tmp_path)
    assert plan.tilt_deg == pytest.approx(tilt_deg, abs=1e-3)
    assert plan.spacing_mm == pytest.approx(4 * np.cos(np.radians(tilt_deg)), abs=1e-3)


def test_a_change_of_thickness_is_no_gap_but_a_missing_thin_slice_is(series, tmp_path):
    heights = [*np.arange(20) * 3.0, *(60 + np.arange(20) * 6.0)]

    def thickness(dataset, index):
        dataset.SliceThickness = "3" if index < 20 else "6"

    assert isinstance(judged(series(origins=steps(*heights), edit=thickness), tmp_path / "two"), Plan)
    missing = [*heights[:10], *heights[11:]]
    writer = series(np.zeros((39, 64, 64)), origins=steps(*missing))
    writer.edit = lambda dataset, index: setattr(dataset, "SliceThickness", "3" if index < 19 else "6")
    assert judged(writer, tmp_path / "gap") is VerdictCode.SLICE_GAPS


@pytest.mark.parametrize("number", ["7", ""])
def test_numbers_that_number_nothing_are_passed_over(series, tmp_path, number):
    writer = series(edit=lambda dataset, index: setattr(dataset, "InstanceNumber", number))
    assert isinstance(judged(writer, tmp_path), Plan)


@pytest.mark.parametrize(("agent", "with_agent"), [("OMNIPAQUE", True), ("NONE", False), ("", False)])
def test_the_study_chooses_whether_contrast_is_taken(series, tmp_path, agent, with_agent):
    series(tags={"ContrastBolusAgent": agent}).write(tmp_path)
    found = discover(tmp_path, NAMES)[0]
    assert isinstance(judge_headers(found, LIMITS), Plan)
    native = judge_headers(found, CohortSettings(contrast="none"))
    assert (native is VerdictCode.CONTRAST_ENHANCED) == with_agent


def test_the_first_fault_in_the_documented_order_is_named(series, tmp_path):
    faults = [(code, HEADER_FAULTS[code]) for code in VerdictCode if code in HEADER_FAULTS]
    pairs = [
        (first, second)
        for (first, one), (second, other) in itertools.combinations(faults, 2)
        if not set(one) & set(other)
    ]
    assert len(pairs) > 30
    for number, (first, second) in enumerate(pairs[::3]):
        fault = {**HEADER_FAULTS[first], **HEADER_FAULTS[second]}
        assert judged(series(fault.pop("hu", None), **fault), tmp_path / str(number)) is first, (first, second)


def test_limits_come_from_the_study(series, tmp_path):
    series().write(tmp_path)
    found = discover(tmp_path, NAMES)[0]
    assert judge_headers(found, CohortSettings(max_slice_mm=3.9)) is VerdictCode.TOO_THICK
    assert judge_headers(found, CohortSettings(minimum_coverage_mm=161)) is VerdictCode.COVERAGE_TOO_SHORT


def scale(low, high):
    return judge_scale(
        SliceStack(np.zeros((2, 2, 2), np.float32), np.zeros((2, 3)), np.eye(3)[1], np.eye(3)[0], low, high)
    )


def test_scale_is_checked_against_air_and_tissue():
    assert scale(-1000, 1500) is VerdictCode.ACCEPTED
    assert scale(24, 2500) is VerdictCode.HU_IMPLAUSIBLE
    assert scale(-1400, 1500) is VerdictCode.HU_IMPLAUSIBLE
    assert scale(-1000, 20) is VerdictCode.HU_IMPLAUSIBLE


def test_alignment_is_judged_skull_first_then_field_extent_contents_and_fit():
    good = Alignment(Pose(np.eye(3), np.zeros(3)), 120.0, 0.0, 1.0, 0.97, 30.0, 0.97, 0.3)
    assert judge_alignment(good) is VerdictCode.ACCEPTED
    assert judge_alignment(replace(good, skull_share=0.5)) is VerdictCode.NOT_A_HEAD
    assert judge_alignment(good, cut_share=0.1) is VerdictCode.ACCEPTED
    assert judge_alignment(replace(good, brain_seen_share=0.8), cut_share=0.3) is VerdictCode.FIELD_OF_VIEW_CUT
    assert judge_alignment(replace(good, brain_seen_share=0.8)) is VerdictCode.INCOMPLETE_HEAD
    assert judge_alignment(replace(good, brain_median_hu=-200.0)) is VerdictCode.NOT_A_HEAD
    assert judge_alignment(replace(good, brain_median_hu=120.0)) is VerdictCode.HU_IMPLAUSIBLE
    assert judge_alignment(replace(good, brain_median_hu=-40.0)) is VerdictCode.HU_IMPLAUSIBLE
    assert judge_alignment(replace(good, brain_like_share=0.5)) is VerdictCode.NOT_A_HEAD
    assert judge_alignment(replace(good, residual_hu=250.0)) is VerdictCode.NOT_ALIGNED


def built(writer, folder, study):
    plan = judged(writer, folder)
    recipe = Recipe(study.grid, study.geometry, study.radiograph)
    result = construct_case(plan, "p" * 32, recipe)
    return result if isinstance(result, VerdictCode) else VerdictCode.ACCEPTED


def trunk() -> np.ndarray:
    """An abdomen: a wide ellipse of soft tissue with a spine."""
    y, x = np.mgrid[:64, :64] - 31.5
    plane = np.where((x / 29) ** 2 + (y / 20) ** 2 < 1, 40.0, -1000.0)
    plane[(x / 4) ** 2 + ((y - 12) / 4) ** 2 < 1] = 500
    return np.repeat(plane[None], 40, axis=0)


def circled(head) -> np.ndarray:
    """The head in a square field of 156 mm whose inscribed circle alone was reconstructed."""
    rows, columns = np.mgrid[:52, :52] - 25.5
    return np.where(np.hypot(rows, columns) < 26, head[:, 14:66, 6:58], -2000)


CONTENT_FAULTS = {
    "a head": (lambda head: head, VerdictCode.ACCEPTED),
    "a head stored without its offset": (lambda head: head + 1024, VerdictCode.HU_IMPLAUSIBLE),
    "a head with its offset twice": (lambda head: head - 1024, VerdictCode.HU_IMPLAUSIBLE),
    "an empty skull": (lambda head: np.where(head < 200, -1000, head), VerdictCode.NOT_A_HEAD),
    "air alone": (lambda head: np.full(head.shape, -1000), VerdictCode.HU_IMPLAUSIBLE),
    "a trunk": (lambda head: trunk(), VerdictCode.NOT_A_HEAD),
    "a ball of water": (None, VerdictCode.HU_IMPLAUSIBLE),
    "a neck": (lambda head: np.repeat(head[:6], 6, axis=0), VerdictCode.NOT_A_HEAD),
    "a face": (lambda head: head[:19], VerdictCode.INCOMPLETE_HEAD),
    "a head cut at the back by the field of view": (lambda head: head[:, :62], VerdictCode.FIELD_OF_VIEW_CUT),
    "a head cut by a circular field of view": (lambda head: circled(head), VerdictCode.FIELD_OF_VIEW_CUT),
    "a head without its upper third": (lambda head: head[:27], VerdictCode.INCOMPLETE_HEAD),
}


@pytest.mark.parametrize("what", CONTENT_FAULTS)
def test_content_decides_what_headers_cannot(head_series, series, head_hu, study, tmp_path, what):
    change, code = CONTENT_FAULTS[what]
    writer = series() if change is None else head_series()
    if change is not None:
        writer.hu = change(head_hu)
    assert built(writer, tmp_path, study) is code


def test_series_with_a_damaged_slice_is_unreadable(head_series, study, tmp_path):
    writer = head_series()
    paths = writer.write(tmp_path)
    paths[20].write_bytes(paths[20].read_bytes()[:-1000])
    plan = judge_headers(discover(tmp_path, NAMES)[0], LIMITS)
    assert construct_case(plan, "p", Recipe(study.grid, study.geometry, study.radiograph)) is VerdictCode.UNREADABLE


def test_every_verdict_has_a_reason_in_one_line():
    assert set(REASONS) == set(VerdictCode)
    assert all(reason and "\n" not in reason for reason in REASONS.values())
    nothing_to_mend = {VerdictCode.ACCEPTED, VerdictCode.NOT_CT, VerdictCode.NOT_A_HEAD, VerdictCode.TOO_LARGE}
    assert set(VerdictCode) - set(MENDS) == nothing_to_mend | {VerdictCode.DUPLICATE_OF_PATIENT}
    assert all(mend and "\n" not in mend for mend in MENDS.values())
    assert "1024" in REASONS[VerdictCode.HU_IMPLAUSIBLE]


@pytest.mark.real_heads
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bad_inputs/wrong_body_part_neck_philips.zip", VerdictCode.TOO_FEW_SLICES),
        ("bad_inputs/wrong_modality_mr_t1_head.zip", VerdictCode.NOT_CT),
        ("bad_inputs/slicer_cthead_no_rescale_64x64.zip", VerdictCode.HU_IMPLAUSIBLE),
        ("bad_inputs/enhanced_ct_multiframe_perfusion.zip", VerdictCode.LOCALIZER_OR_DERIVED),
        ("bad_inputs/philips_scout_and_secondary_capture.zip", VerdictCode.LOCALIZER_OR_DERIVED),
        ("dicom/09_philips_plastic_skull_tilt_minus18.zip", VerdictCode.NOT_A_HEAD),
    ],
)
def test_real_bad_inputs_get_their_verdicts(unzipped, study, name, code):
    found = discover(unzipped(name), NAMES)
    assert len(found) == 1
    plan = judge_headers(found[0], LIMITS)
    if isinstance(plan, Plan):
        plan = construct_case(plan, "p", Recipe(study.grid, study.geometry, study.radiograph))
    assert plan is code
