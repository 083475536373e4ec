"""Which cases are built again, and which are kept."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from client.cohort import build_cohort, case_store
from common.geometry import Grid
from common.roles import Role
from common.study import CohortSettings, RadiographSettings
from tests.client.heads import COUNT, vary


def test_a_second_build_builds_nothing(built, heads, study, no_building):
    cohort, state, _ = built
    assert build_cohort(heads, study, Role.TRAIN, state) == cohort


def test_touched_but_equal_files_are_known_by_their_bytes(built, heads, study, tmp_path, no_building):
    cohort, state, _ = built
    moved = tmp_path / "moved"
    shutil.copytree(heads, moved)
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    again = build_cohort(moved, study, Role.TRAIN, copied)
    assert [item.path.name for item in again.train] == [item.path.name for item in cohort.train]


def test_settings_that_do_not_change_a_case_keep_it_and_the_grid_makes_new_ones(
    built, heads, study, tmp_path, no_building
):
    _, state, _ = built
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    other = study.model_copy(update={"name": "other", "cohort": CohortSettings(minimum_cases=2, max_slice_mm=6.5)})
    assert build_cohort(heads, other, Role.TRAIN, copied).flow.used == COUNT
    coarser = study.model_copy(update={"grid": Grid(shape=(24, 24, 24), voxel_mm=10.0)})
    with pytest.raises(AssertionError, match="built again"):
        build_cohort(heads, coarser, Role.TRAIN, copied)


def test_only_what_changed_is_built_and_what_left_is_removed(
    built, heads, study, head_hu, head_series, tmp_path, monkeypatch
):
    cohort, state, _ = built
    changed, copied = tmp_path / "changed", tmp_path / "state"
    shutil.copytree(heads, changed)
    shutil.copytree(state, copied)
    shutil.rmtree(changed / "SECRETNAME1")
    writer = head_series(patient_id="SECRET-9")
    writer.hu = vary(head_hu, 9)
    writer.write(changed / "new")
    counted = []
    construct = case_store.construct_case
    monkeypatch.setattr(case_store, "construct_case", lambda *args: counted.append(1) or construct(*args))
    now = build_cohort(changed, study, Role.TRAIN, copied)
    assert len(counted) == 1
    assert now.flow.used == COUNT
    kept = {path.name for path in copied.rglob("*.safetensors")}
    assert kept == {item.path.name for item in (*now.train, *now.validation)}
    before = {item.pseudonym for item in cohort.train}
    assert not before & {item.pseudonym for item in now.validation}


def test_a_damaged_case_file_is_built_again(built, heads, study, tmp_path):
    _, state, _ = built
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    victim = next(copied.rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:1000])
    cohort = build_cohort(heads, study, Role.TRAIN, copied)
    assert all(item.load().volume_hu.shape == study.grid.shape for item in (*cohort.train, *cohort.validation))


def test_native_radiographs_make_new_cases_of_the_same_heads(built, heads, study, tmp_path):
    cohort, state, _ = built
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    native = study.model_copy(update={"radiograph": RadiographSettings(resolution="native")})
    again = build_cohort(heads, native, Role.TRAIN, copied)
    assert again.flow == cohort.flow
    for ours, theirs in zip(again.train, cohort.train, strict=True):
        ours, theirs = ours.load(), theirs.load()
        assert not np.array_equal(ours.integrals, theirs.integrals)
        assert np.abs(ours.integrals - theirs.integrals).mean() < 0.01 * theirs.integrals.max()


def test_held_out_site_keeps_every_case_for_evaluation(built, heads, study, no_building):
    _, state, _ = built
    cohort = build_cohort(heads, study, Role.EVALUATE, state)
    assert cohort.train == ()
    assert len(cohort.validation) == COUNT


def test_the_studys_choice_on_contrast_keeps_the_cases_built_before(built, heads, study, no_building):
    _, state, _ = built
    native = study.model_copy(update={"cohort": CohortSettings(minimum_cases=1, contrast="none")})
    assert build_cohort(heads, native, Role.TRAIN, state).flow.used == COUNT
