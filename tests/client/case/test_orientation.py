"""No head is taken the wrong way round, and none that lies as recorded is turned away."""

from __future__ import annotations

import itertools
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from scipy.spatial.transform import Rotation

from client.archive.discovery import discover
from client.archive.eligibility import judge_headers
from client.archive.pseudonym import Pseudonyms
from client.archive.slice_plan import Plan, plan_slices
from client.archive.verdict_codes import VerdictCode
from client.case.acceptance import judge_alignment
from client.case.alignment import LEAST_MARGIN, Alignment
from client.case.body import find_body
from client.case.construction import Recipe, construct_case
from client.case.decoding import decode_stack
from client.case.orientation import (
    _BLOCK,
    _CELLS,
    _SCREEN_UNSCANNED_HU,
    START_PITCHES_DEG,
    _cells,
    axis_frames,
    is_recorded,
    likely_starts,
    unexplained,
)
from client.case.rigid_fit import SAMPLING_MM, Surroundings, refined, start_at
from client.case.template import template_levels
from client.case.volume import Pose
from client.phantom.anatomy import procedural_head, template_head
from client.virtual_hospital import STYLES, write_virtual_archive
from common.study import CohortSettings
from tests.client.stacks import GRID, aligned, nifti_stack, posed

NAMES = Pseudonyms(b"k" * 32)
OTHERS = axis_frames()[1:]
CONTRADICTS = VerdictCode.ORIENTATION_CONTRADICTS


def named(frame):
    """Where a frame brings the canonical left, back and top, as the patient's axes are called."""
    return "".join(("LPS" if column.sum() > 0 else "RAI")[int(np.abs(column).argmax())] for column in frame.T)


def turned(stack, frame):
    """A stack whose record says that it lies otherwise: all vectors turned, and the slices in ascending order."""
    turn = {"row_mm": frame @ stack.row_mm, "column_mm": frame @ stack.column_mm}
    other = replace(stack, origins_mm=stack.origins_mm @ frame.T, **turn)
    if other.positions_mm[0] > other.positions_mm[-1]:
        other = replace(other, hu=other.hu[::-1].copy(), origins_mm=other.origins_mm[::-1].copy())
    return other


def mirrored(stack, axis):
    """A stack with its pixels mirrored along (slice, row, column)."""
    return replace(stack, hu=np.ascontiguousarray(np.flip(stack.hu, axis)))


def judged(stack):
    body = find_body(stack)
    return judge_alignment(aligned(stack), body.cut_share)


def constructed(plan, study):
    """The case of a plan, or its verdict."""
    assert isinstance(plan, Plan)
    return construct_case(plan, "p" * 32, Recipe(study.grid, study.geometry, study.radiograph))


@pytest.fixture(scope="module")
def head():
    """An asymmetric head with findings, chin up a little."""
    return posed(procedural_head(11, GRID).astype(np.float32), (-12.0, 3.0, 4.0), (5.0, -6.0, 4.0))[0]


def test_the_frames_are_the_proper_rotations_among_axes():
    frames = axis_frames()
    assert np.array_equal(frames[0], np.eye(3))
    assert len({frame.tobytes() for frame in frames}) == 24
    assert all(np.linalg.det(frame) == pytest.approx(1) and np.allclose(frame @ frame.T, np.eye(3)) for frame in frames)


def test_the_template_is_its_own_mirror_image_so_that_rotations_stand_for_mirror_images():
    for level in template_levels():
        order = np.lexsort(level.points_mm.T.round(2))
        flipped = np.lexsort((level.points_mm * [-1, 1, 1]).T.round(2))
        assert np.allclose(level.points_mm[order], level.points_mm[flipped] * [-1, 1, 1])
        assert np.abs(level.values_hu[order] - level.values_hu[flipped]).max() < 2.0


@pytest.mark.parametrize("frame", OTHERS, ids=named)
def test_a_head_recorded_another_way_round_is_refused(head, frame):
    assert judged(turned(head, frame)) is CONTRADICTS


@pytest.mark.parametrize("frame", OTHERS[::4], ids=named)
def test_a_mirrored_head_recorded_another_way_round_is_refused(head, frame):
    assert judged(turned(mirrored(head, 2), frame)) is CONTRADICTS


@pytest.mark.parametrize("axis", [0, 1], ids=["upside down", "front to back"])
def test_pixels_mirrored_along_an_axis_that_content_tells_are_refused(head, axis):
    assert judged(mirrored(head, axis)) is CONTRADICTS


def test_left_and_right_are_taken_from_the_record_alone(head):
    straight, mirror = aligned(head), aligned(mirrored(head, 2))
    for found in (straight, mirror):
        assert judge_alignment(found) is VerdictCode.ACCEPTED
        assert np.linalg.det(found.pose.rotation) == pytest.approx(1)
        assert found.turned is None
        assert found.turn_deg < 30
    assert mirror.orientation_margin == pytest.approx(straight.orientation_margin, rel=0.05)


def test_what_the_other_orientation_finds_is_the_pose_that_was_lost(head):
    frame = next(frame for frame in OTHERS if named(frame) == "PRS")
    found, straight = aligned(turned(head, frame)), aligned(head)
    assert found.orientation_margin < LEAST_MARGIN
    apart = frame @ straight.pose.rotation @ found.turned.pose.rotation.T
    assert np.degrees(Rotation.from_matrix(apart).magnitude()) < 2


@pytest.mark.parametrize("pitch_deg", [-35.0, -20.0, 20.0, 35.0])
def test_a_head_that_nods_is_accepted(pitch_deg):
    head = posed(template_head(GRID).astype(np.float32), (-pitch_deg, 3.0, -4.0), (0.0, 0.0, 0.0))[0]
    found = aligned(head)
    assert judge_alignment(found) is VerdictCode.ACCEPTED
    assert found.orientation_margin > 0.2


@pytest.mark.parametrize("frame", [np.eye(3), *OTHERS[::4]], ids=named)
def test_the_margin_is_that_of_a_plain_search_everywhere(head, frame):
    stack = turned(head, frame)
    body = find_body(stack)
    around = Surroundings.of(body.stack, np.mean(body.brain_guesses_mm, axis=0))
    coarse = template_levels()[0]
    target = around.at(coarse.voxel_mm)
    lies = aligned(head).pose
    brain_mm = frame @ (lies.rotation @ coarse.brain_middle_mm + lies.centre_mm)

    def plain(supposed, places_mm=(0.0,)):
        return min(
            unexplained(refined(start_at(brain_mm + shift, pitch_deg, coarse, supposed), target, coarse, 20))
            for pitch_deg in START_PITCHES_DEG
            for shift in itertools.product(places_mm, repeat=3)
        )

    # An orientation in which the head does not lie may fit best with its brain elsewhere.
    recorded = plain(np.eye(3), places_mm=(-30.0, 0.0, 30.0))
    expected = min(plain(other) for other in OTHERS) / recorded - 1
    assert aligned(stack).orientation_margin == pytest.approx(expected, abs=0.06 * (1 + expected))


def test_the_likeliest_place_of_each_orientation_is_the_best_of_a_plain_search(head):
    body = find_body(head)
    around = Surroundings.of(body.stack, np.mean(body.brain_guesses_mm, axis=0))
    scanned, seen_hu, _ = _cells(around)
    hu = np.divide(seen_hu, scanned, out=np.zeros_like(seen_hu), where=scanned > 0)
    coarse, fine = template_levels()
    drawn = np.random.default_rng(2).integers(0, _CELLS, (60, 3))
    near = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3), axis=-1).reshape(-1, 3)

    def misfit(start, place):
        about = fine.points_mm - fine.brain_middle_mm
        cell = np.rint(about @ start.turn.T / (_BLOCK * SAMPLING_MM)).astype(int) + place
        x, y, z = (cell % _CELLS).T
        seen = scanned[z, y, x]
        # A cell scanned in part has the mean of its scanned share weighed by it.
        return (seen * (hu[z, y, x] - fine.values_hu) ** 2 + (1 - seen) * _SCREEN_UNSCANNED_HU**2).mean()

    starts = likely_starts(around, coarse)
    assert len({start.frame.tobytes() for start in starts}) == 24
    assert sum(is_recorded(start) for start in starts) == 3
    for start in starts[::9]:
        brain_mm = start.centre_mm + start.turn @ coarse.brain_middle_mm - around.origin_mm
        place = np.rint((brain_mm / SAMPLING_MM - (_BLOCK - 1) / 2) / _BLOCK).astype(int)
        others = min(misfit(start, other) for other in [*(place + near), *drawn])
        assert misfit(start, place) <= 1.001 * others


def test_a_contradiction_needs_a_head_in_one_of_the_two_orientations():
    head = Alignment(Pose(np.eye(3), np.zeros(3)), 120.0, 0.0, 1.0, 0.97, 30.0, 0.97, 0.3)
    none = replace(head, skull_share=0.3)
    assert judge_alignment(head) is VerdictCode.ACCEPTED
    assert judge_alignment(replace(head, turned=none)) is CONTRADICTS
    assert judge_alignment(replace(none, turned=head)) is CONTRADICTS
    assert judge_alignment(replace(none, turned=none)) is VerdictCode.NOT_A_HEAD


# Pixels as changed, with a record that does not know it.
WRONG_RECORDS = {
    "face behind, recorded supine": lambda hu: hu[:, ::-1, ::-1],
    "upside down, recorded head first": lambda hu: hu[::-1, :, ::-1],
    "upside down and face behind": lambda hu: hu[::-1, ::-1],
    "on its left side, recorded supine": lambda hu: np.rot90(hu, 1, (1, 2)),
    "on its right side, recorded supine": lambda hu: np.rot90(hu, -1, (1, 2)),
    "rows exchanged with columns": lambda hu: hu.transpose(0, 2, 1),
    "mirrored front to back": lambda hu: hu[:, ::-1],
    "mirrored top to bottom": lambda hu: hu[::-1],
}


@pytest.mark.parametrize("what", WRONG_RECORDS)
def test_a_series_whose_record_contradicts_its_content_is_refused(head_series, head_hu, study, tmp_path, what):
    writer = head_series()
    writer.hu = WRONG_RECORDS[what](head_hu)
    writer.write(tmp_path)
    plan = judge_headers(discover(tmp_path, NAMES)[0], CohortSettings())
    assert constructed(plan, study) is CONTRADICTS


# Pixels as a scanner stores them of patients in other positions, with the orientation and first corner it records.
RIGHT_RECORDS = {
    "prone": (lambda hu: hu[:, ::-1, ::-1], (-1, 0, 0, 0, -1, 0), (94.5, 118.5)),
    "on the side": (lambda hu: hu.transpose(0, 2, 1)[:, ::-1], (0, 1, 0, -1, 0, 0), (94.5, -118.5)),
    "feet first": (lambda hu: hu[:, :, ::-1], (-1, 0, 0, 0, 1, 0), (94.5, -118.5)),
    "feet first, prone": (lambda hu: hu[:, ::-1], (1, 0, 0, 0, -1, 0), (-94.5, 118.5)),
}


@pytest.mark.parametrize("what", RIGHT_RECORDS)
def test_a_patient_in_another_position_with_a_true_record_is_the_same_case(head_series, head_hu, study, tmp_path, what):
    change, orientation, (x, y) = RIGHT_RECORDS[what]
    volumes = []
    for name in ("supine", "other"):
        writer = head_series()
        if name == "other":
            writer.hu, writer.orientation = change(head_hu), orientation
            writer.origins = np.column_stack([np.full(40, x), np.full(40, y), writer.origins[:, 2]])
        writer.write(tmp_path / name)
        plan = judge_headers(discover(tmp_path / name, NAMES)[0], CohortSettings())
        volumes.append(constructed(plan, study).volume_hu.astype(float))
    assert np.abs(volumes[0] - volumes[1]).mean() < 2


@pytest.mark.parametrize("style", STYLES)
def test_virtual_hospitals_lose_no_head(study, tmp_path, style):
    write_virtual_archive(tmp_path / "a", patients=2, style=STYLES[style], seed=31, matrix=64)
    for series in discover(tmp_path / "a", NAMES):
        case = constructed(judge_headers(series, CohortSettings()), study)
        assert case.facts.orientation_margin > 0.3


@pytest.mark.parametrize(
    ("name", "code"), [("00_sound_twin", VerdictCode.ACCEPTED), ("48_face_behind_recorded_supine", CONTRADICTS)]
)
def test_the_faulty_series_is_refused_and_its_sound_twin_is_not(archive_faults, study, tmp_path, name, code):
    with zipfile.ZipFile(archive_faults / f"{name}.zip") as archive:
        archive.extractall(tmp_path)
    found = constructed(judge_headers(discover(tmp_path, NAMES)[0], CohortSettings()), study)
    assert (found if isinstance(found, VerdictCode) else VerdictCode.ACCEPTED) is code


@pytest.fixture(scope="module")
def real_stack(real_ct, unzipped):
    """A real head by its number, as it is recorded."""

    def read(number):
        if number in ("01", "06"):
            return nifti_stack(next((real_ct / "nifti").glob(f"{number}_*")))
        (archive,) = (real_ct / "dicom").glob(f"{number}_*")
        plan = judge_headers(discover(unzipped(f"dicom/{archive.name}"), NAMES)[0], CohortSettings())
        return decode_stack(plan.slices, 2.4)

    return read


@pytest.mark.real_heads
@pytest.mark.parametrize("number", ["01", "02", "03", "06"])
@pytest.mark.parametrize("mirror", [False, True], ids=["as scanned", "mirrored left to right"])
def test_a_real_head_is_accepted_as_recorded_and_no_other_way_round(real_stack, number, mirror):
    stack = mirrored(real_stack(number), 2) if mirror else real_stack(number)
    assert judged(stack) is VerdictCode.ACCEPTED
    verdicts = {named(frame): judged(turned(stack, frame)) for frame in OTHERS}
    assert set(verdicts.values()) == {CONTRADICTS}, verdicts


@pytest.mark.real_heads
@pytest.mark.parametrize("number", ["01", "02", "06"])
@pytest.mark.parametrize("axis", [0, 1], ids=["upside down", "front to back"])
def test_pixels_of_a_real_head_mirrored_alone_are_refused(real_stack, number, axis):
    assert judged(mirrored(real_stack(number), axis)) is CONTRADICTS


@pytest.mark.real_heads
@pytest.mark.parametrize(("axis", "code"), [(0, CONTRADICTS), (1, VerdictCode.TILT_CONTRADICTS)])
def test_pixels_of_a_tilted_scan_mirrored_alone_are_refused(unzipped, study, tmp_path, axis, code):
    # Front to back the head then leans by twice the tilt: so it lies in no orientation, and so nothing says it leans.
    files = [dcmread(path) for path in unzipped("dicom/03_ge_hispeed_gantry_tilt.zip").rglob("*") if path.is_file()]
    files.sort(key=lambda file: float(file.ImagePositionPatient[2]))
    hu = np.flip([file.pixel_array for file in files], axis)
    for number, (file, plane) in enumerate(zip(files, hu, strict=True)):
        file.PixelData = plane.tobytes()
        file.save_as(tmp_path / f"{number}.dcm")
    (series,) = discover(tmp_path, NAMES)
    assert constructed(judge_headers(series, CohortSettings()), study) is code


@pytest.mark.real_heads
def test_a_real_series_is_refused_with_every_other_orientation_in_its_headers(unzipped, study):
    found = discover(unzipped("dicom/02_cptac_lscc_toshiba_head.zip"), NAMES)[0]
    for frame in OTHERS:
        slices = [
            header._replace(
                orientation=tuple(np.concatenate([frame @ header.orientation[:3], frame @ header.orientation[3:]])),
                position=tuple(frame @ header.position),
            )
            for header in found.slices
        ]
        plan = plan_slices(slices, CohortSettings())
        verdict = constructed(plan, study) if isinstance(plan, Plan) else plan
        across = abs(frame[2, 2]) < 0.5
        assert verdict is (VerdictCode.TILT_BEYOND_LIMITS if across else CONTRADICTS), named(frame)
