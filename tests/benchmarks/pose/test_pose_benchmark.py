"""The benchmark of poses measures what it says, keeps what it computed, and its goals hold at their margins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray
from scipy import ndimage
from typer.testing import CliRunner

from benchmarks import measure
from benchmarks.pose import __main__ as benchmark
from benchmarks.pose import records
from benchmarks.pose.aims import pose_goals
from benchmarks.pose.errors import head_points_mm, pose_error
from benchmarks.pose.records import STATED, STRANGERS, UNSTATED, sitting_record
from benchmarks.pose.sittings import TWIN_MM, sitting, twin, with_distances, without_distances
from benchmarks.quality.store import Store
from client.phantom import procedural_head
from client.pose import PoseVerdict, Room, ViewPose
from client.radiographs import Film
from common.geometry import FrontalView, Geometry, Grid, Pose

ROOM = Geometry(detector_shape=(512, 512), pixel_mm=0.8, source_patient_mm=1000.0, source_detector_mm=1300.0)
TRUTH = Pose(pitch_deg=4.0, yaw_deg=-6.0, translation_mm=(5.0, -8.0, 3.0))
FOUND = ViewPose(TRUTH, Room(FrontalView.PA, 1000.0, 1300.0, is_known=True), True, 0.97, 0.1, 0.1, 2, PoseVerdict.FOUND)
POINTS = np.random.default_rng(1).uniform(-80, 80, (200, 3))


def soft(seed: int) -> NDArray[np.int16]:
    head = procedural_head(seed, Grid(shape=(128, 128, 128), voxel_mm=1.8)).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(head, 0.7), dtype=np.int16)


def test_the_true_pose_has_no_error_and_others_have_theirs() -> None:
    none = pose_error(FOUND, TRUTH, ROOM, POINTS)
    # An angle from a cosine is sure to a hundred-thousandth.
    assert (none.turn_deg, none.across_mm, none.depth_mm, none.reprojected_mm) == pytest.approx((0, 0, 0, 0), abs=1e-4)
    moved = replace(FOUND, pose=TRUTH.model_copy(update={"translation_mm": (8.0, -2.0, 7.0)}))
    error = pose_error(moved, TRUTH, ROOM, POINTS)
    assert (error.across_mm, error.depth_mm) == pytest.approx((5.0, 6.0))
    assert error.reprojected_mm == pytest.approx(5.0, abs=0.7)
    turned = replace(FOUND, pose=TRUTH.model_copy(update={"yaw_deg": -4.0}))
    assert pose_error(turned, TRUTH, ROOM, POINTS).turn_deg == pytest.approx(2.0)


def test_another_room_that_shows_the_same_has_hardly_any_reprojection() -> None:
    further = replace(
        FOUND,
        room=Room(FrontalView.PA, 1000.0, 1430.0, is_known=True),
        pose=TRUTH.model_copy(update={"translation_mm": (5.0, -8.0 - 100.0, 3.0)}),
    )
    error = pose_error(further, TRUTH, ROOM, POINTS)
    assert error.depth_mm == pytest.approx(100.0)
    assert error.reprojected_mm < 1.0
    assert pose_error(replace(further, pose=TRUTH), TRUTH, ROOM, POINTS).reprojected_mm > 3


def test_a_twin_is_the_same_head_in_other_voxels() -> None:
    head = soft(5)
    # A neck that the volume's edge cuts is cut a part of a voxel elsewhere.
    head[:20] = -1000
    other = twin(head, seed=1)
    assert np.array_equal(other, twin(head, seed=1))
    assert other.shape == (110, 110, 110)
    for axis in range(3):
        middles = []
        for volume, edge in ((head, 1.8), (other, TWIN_MM)):
            profile = (volume > -500).sum(axis=tuple({0, 1, 2} - {axis}))
            middles.append(((np.arange(len(profile)) - (len(profile) - 1) / 2) * profile).sum() / profile.sum() * edge)
        assert middles[0] == pytest.approx(middles[1], abs=0.3)
    assert other[2:12, 2:12, 2:12].std() == pytest.approx(25, rel=0.1)


def test_points_lie_in_the_head_and_in_its_frame() -> None:
    head = np.full((40, 40, 40), -1000, np.int16)
    head[30:34, 5:9, 18:22] = 0
    points = head_points_mm(head, 2.0)
    assert points.mean(axis=0) == pytest.approx((0.0, -26.0, 24.0), abs=1)


def test_equal_seeds_give_equal_sittings_and_distances_are_told_as_asked() -> None:
    head = soft(5)
    one, other = (sitting(head, 7) for _ in range(2))
    assert one.geometry == other.geometry
    for film, again in zip(one.films, other.films, strict=True):
        assert isinstance(film, Film), film
        assert isinstance(again, Film)
        assert np.array_equal(film.integrals, again.integrals)
        told = with_distances(film, 1.1, 0.9).geometry
        assert told.source_patient_mm == pytest.approx(1.1 * one.geometry.source_patient_mm)
        assert told.source_detector_mm == pytest.approx(0.9 * one.geometry.source_detector_mm)
        assert told.magnification == pytest.approx(told.source_detector_mm / told.source_patient_mm)
        assert without_distances(film).geometry.source_patient_mm is None
        assert not (film.is_lateral and film.direction is None)


def view(**changes: Any) -> dict[str, Any]:
    figures = {"turn_deg": 0.5, "across_mm": 0.5, "depth_mm": 5.0, "cpu_s": 10.0, "reprojected_mm": 1.0}
    return figures | {"verdict": "pose_found", "likeness": 0.97} | changes


def records_of(stated: dict[str, Any], unstated: dict[str, Any], failed: int) -> list[dict[str, Any]]:
    strangers = [{"verdict": "pose_failed"}] * failed + [{"verdict": "pose_uncertain"}] * (100 - failed)
    return [{STATED: [stated] * 40, UNSTATED: [unstated] * 40, STRANGERS: strangers}]


def test_goals_hold_at_their_margins() -> None:
    assert all(goal.met for goal in pose_goals(records_of(view(), view(), 99)))
    missed = [
        (records_of(view(turn_deg=0.51), view(), 99), "median angle"),
        (records_of(view(across_mm=0.51), view(), 99), "median across the beam"),
        (records_of(view(depth_mm=5.1), view(), 99), "median depth"),
        (records_of(view(cpu_s=10.1), view(), 99), "slowest view"),
        (records_of(view(), view(reprojected_mm=1.1), 99), "re-projection, distances not stated"),
        (records_of(view(), view(), 98), "other persons' CTs failed"),
    ]
    for found, name in missed:
        assert [goal.name for goal in pose_goals(found) if not goal.met] == [name]
    few = records_of(view(), view(), 99)
    few[0][STATED] = [view()] * 34 + [view(turn_deg=1.6)] * 5
    assert [goal.name for goal in pose_goals(few) if not goal.met] == ["views", "90th percentile"]


def test_a_sitting_is_computed_once_and_then_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = soft(5)
    heads, twins = {"01": head}, {"01": twin(head, seed=1)}
    computed: list[int] = []

    def counted(*arguments: Any) -> dict[str, Any]:
        computed.append(1)
        return {"refused": []}

    monkeypatch.setattr(records, "sitting", lambda head_hu, seed: None)
    monkeypatch.setattr(records, "_computed", counted)
    for number in (1, 2, 1):
        assert sitting_record(Store(tmp_path), heads, twins, "01", number)["refused"] == []
    assert len(computed) == 2


def test_a_quick_run_prints_tables_and_leaves_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    persons = {"01": 3, "02": 6}
    monkeypatch.setattr(benchmark, "PERSONS", tuple(persons))
    monkeypatch.setattr(benchmark, "heads_sha256", lambda ct: "")
    monkeypatch.setattr(benchmark, "canonical_head", lambda person, ct, store: torch.from_numpy(soft(persons[person])))
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    app = typer.Typer()
    app.command()(benchmark.main)
    done = CliRunner().invoke(app, ["--quick", "--cache", str(tmp_path / "cache")], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "source distance 10 % wrong" in done.output
    assert "unknown" in done.output
    last = done.output.splitlines()[-1]
    assert last.startswith("pose: missed: views 4 (goal 40) (missed); median angle 0.")
    assert not (tmp_path / "results").exists()
