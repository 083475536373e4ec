from __future__ import annotations

import fcntl
import hashlib
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from client.archive import VerdictCode, build_cohort, building, cache, examine
from client.archive import case as case_module
from client.archive.pseudonym import site_pseudonyms
from common.errors import ExitCode, Refusal
from common.exchange import Role
from common.geometry import Grid
from common.study import CohortSettings, RadiographSettings
from common.trust import RELEASE

COUNT = 3


def vary(hu, seed):
    """The same head with a patient's own noise, so that no two cases are the same images."""
    noise = np.random.default_rng(seed).normal(0, 8, hu.shape)
    return np.where(hu > -900, hu + noise, hu)


@pytest.fixture(scope="module")
def archive(head_hu, head_series, series, tmp_path_factory) -> Path:
    """Three patients with a head each, one of them with a second, coarser series, and a series that is no CT."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(COUNT):
        writer = head_series(patient_id=f"SECRET-{number}")
        writer.hu = vary(head_hu, number)
        writer.write(folder / f"SECRETNAME{number}" / "s")
    again = head_series(patient_id="SECRET-0")
    again.hu = vary(head_hu, 0)[2:]
    again.origins = again.origins[2:]
    again.write(folder / "again")
    series(tags={"Modality": "MR"}, sop_class="1.2.840.10008.5.1.4.1.1.4").write(folder / "SECRETMAGNET", [0, 1])
    return folder


@pytest.fixture(scope="module")
def built(archive, study, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    seen = []
    return build_cohort(archive, study, Role.TRAIN, state, seen.append), state, seen


@pytest.fixture
def no_building(monkeypatch):
    """Fails if a case is built."""

    def fail(*arguments):
        raise AssertionError("a case was built again")

    monkeypatch.setattr(cache, "construct_case", fail)


def test_an_archive_becomes_cases_with_a_flow_that_adds_up(built, study):
    cohort, _, seen = built
    assert len(cohort.train) + len(cohort.validation) == COUNT
    assert (cohort.flow.found, cohort.flow.eligible, cohort.flow.used) == (5, 4, 3)
    assert cohort.flow.excluded == {"duplicate_of_patient": 1, "not_ct": 1}
    assert sorted(verdict.code.value for verdict in cohort.verdicts) == [
        "accepted",
        "accepted",
        "accepted",
        "duplicate_of_patient",
        "not_ct",
    ]
    case = cohort.train[0].load()
    assert case.volume_hu.shape == study.grid.shape
    assert case.integrals.shape == (2, *study.geometry.detector_shape)
    assert case.volume_hu.min() == -1000
    assert case.facts.manufacturer == "siemens"
    assert [(step.done, step.total, step.accepted) for step in seen if step.total] == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]
    assert seen[0].files > 0


def test_each_case_says_what_was_done_to_it_by_which_code_from_which_bytes(built):
    cohort, state, _ = built
    cases = [item.load() for item in (*cohort.train, *cohort.validation)]
    for case in cases:
        provenance = case.provenance
        assert provenance.release == RELEASE
        assert provenance.code_sha256 == cache._code_sha256()
        assert [step.name for step in provenance.steps] == [
            "decoded",
            "padding_made_air",
            "table_removed",
            "averaged",
            "aligned",
            "resampled",
            "projected_grid",
        ]
        assert provenance.steps[0].figures == {"slices": 40, "rows": 80, "columns": 64}
        assert provenance.steps[4].figures["residual_hu"] == case.facts.residual_hu
    assert len({case.provenance.input for case in cases}) == COUNT
    # The hash of the bytes is keyed: with another secret it is another, and without one nobody can compute it.
    digests = {hashlib.sha256(path.read_bytes()).hexdigest()[:32] for path in state.rglob("*") if path.is_file()}
    assert not digests & {case.provenance.input for case in cases}


@pytest.mark.parametrize(
    ("finer", "more", "used"),
    [
        pytest.param(range(40), range(0, 40, 2), "finer", id="finer spacing wins"),
        pytest.param(range(2, 40), range(40), "more", id="at equal spacing more slices win"),
        pytest.param(range(26), range(0, 40, 2), "more", id="finer but incomplete gives way to the next"),
    ],
)
def test_the_best_usable_series_of_a_patient_is_used(head_hu, head_series, study, tmp_path, finer, more, used):
    """Finest mean spacing first, then most slices; the first of these whose content is accepted."""
    uids = {}
    for name, kept in (("finer", finer), ("more", more)):
        writer = head_series(patient_id="one")
        writer.hu, writer.origins = vary(head_hu, 1)[list(kept)], writer.origins[list(kept)]
        writer.write(tmp_path / "archive" / name)
        uids[name] = writer.series_uid
    wide = study.model_copy(update={"cohort": CohortSettings(minimum_cases=1, max_slice_mm=12.5)})
    cohort = build_cohort(tmp_path / "archive", wide, Role.TRAIN, tmp_path / "state")
    secret = site_pseudonyms(tmp_path / "state" / "site-secret")
    (accepted,) = (verdict.series for verdict in cohort.verdicts if verdict.code is VerdictCode.ACCEPTED)
    assert accepted == secret.of("series", uids[used])


def test_of_two_series_the_one_with_more_slices_is_used(built):
    cohort, _, _ = built
    duplicate = next(v for v in cohort.verdicts if v.code is VerdictCode.DUPLICATE_OF_PATIENT)
    used = next(v for v in cohort.verdicts if v.patient == duplicate.patient and v.code is VerdictCode.ACCEPTED)
    assert (used.slices, duplicate.slices) == (40, 38)


def test_nothing_written_or_shown_names_a_patient(built, archive):
    cohort, state, _ = built
    secrets = [b"SECRET", b"MRN-7741", b"19610704", *(path.name.encode() for path in archive.iterdir())]
    secrets += [b"1.2.826.0.1"]
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        content = path.read_bytes() + str(path.relative_to(state)).encode()
        assert not [secret for secret in secrets if secret in content]
    shown = repr(cohort.verdicts) + repr(cohort.flow)
    assert not [secret for secret in secrets if secret.decode() in shown]


def test_everything_written_is_readable_by_its_owner_alone(built):
    _, state, _ = built
    for path in [*state.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0


def test_a_second_build_builds_nothing(built, archive, study, no_building):
    cohort, state, _ = built
    assert build_cohort(archive, study, Role.TRAIN, state) == cohort


def test_touched_but_equal_files_are_known_by_their_bytes(built, archive, study, tmp_path, no_building):
    cohort, state, _ = built
    moved = tmp_path / "moved"
    shutil.copytree(archive, moved)
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    again = build_cohort(moved, study, Role.TRAIN, copied)
    assert [item.path.name for item in again.train] == [item.path.name for item in cohort.train]


def test_settings_that_do_not_change_a_case_keep_it_and_the_grid_makes_new_ones(
    built, archive, study, tmp_path, no_building
):
    _, state, _ = built
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    other = study.model_copy(update={"name": "other", "cohort": CohortSettings(minimum_cases=2, max_slice_mm=6.5)})
    assert build_cohort(archive, other, Role.TRAIN, copied).flow.used == COUNT
    coarser = study.model_copy(update={"grid": Grid(shape=(24, 24, 24), voxel_mm=10.0)})
    with pytest.raises(AssertionError, match="built again"):
        build_cohort(archive, coarser, Role.TRAIN, copied)


def test_only_what_changed_is_built_and_what_left_is_removed(
    built, archive, study, head_hu, head_series, tmp_path, monkeypatch
):
    cohort, state, _ = built
    changed, copied = tmp_path / "changed", tmp_path / "state"
    shutil.copytree(archive, changed)
    shutil.copytree(state, copied)
    shutil.rmtree(changed / "SECRETNAME1")
    writer = head_series(patient_id="SECRET-9")
    writer.hu = vary(head_hu, 9)
    writer.write(changed / "new")
    counted = []
    construct = cache.construct_case
    monkeypatch.setattr(cache, "construct_case", lambda *args: counted.append(1) or construct(*args))
    now = build_cohort(changed, study, Role.TRAIN, copied)
    assert len(counted) == 1
    assert now.flow.used == COUNT
    kept = {path.name for path in copied.rglob("*.safetensors")}
    assert kept == {item.path.name for item in (*now.train, *now.validation)}
    before = {item.pseudonym for item in cohort.train}
    assert not before & {item.pseudonym for item in now.validation}


def test_a_damaged_case_file_is_built_again(built, archive, study, tmp_path):
    _, state, _ = built
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    victim = next(copied.rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:1000])
    cohort = build_cohort(archive, study, Role.TRAIN, copied)
    assert all(item.load().volume_hu.shape == study.grid.shape for item in (*cohort.train, *cohort.validation))


def test_any_change_to_the_code_that_makes_cases_makes_new_ones(monkeypatch):
    files = cache._code_files()
    root = Path(cache.__file__).parents[2]
    names = {str(path.relative_to(root)) for path in files}
    assert len(names) == len(files)
    assert {str(path.relative_to(root)) for path in (root / "common" / "projection").glob("*.py")} <= names
    assert {"common/ray_module.py", "common/geometry.py", "client/archive/native_radiographs.py"} <= names
    before = cache._code_sha256.__wrapped__()
    read = Path.read_bytes
    for name in ("common/projection/native.py", "common/ray_module.py"):
        monkeypatch.setattr(Path, "read_bytes", lambda path, c=name: read(path) + b"#" * (path == root / c))
        assert cache._code_sha256.__wrapped__() != before


def test_native_radiographs_make_new_cases_of_the_same_heads(built, archive, study, tmp_path):
    cohort, state, _ = built
    copied = tmp_path / "state"
    shutil.copytree(state, copied)
    native = study.model_copy(update={"radiograph": RadiographSettings(resolution="native")})
    again = build_cohort(archive, native, Role.TRAIN, copied)
    assert again.flow == cohort.flow
    for ours, theirs in zip(again.train, cohort.train, strict=True):
        ours, theirs = ours.load(), theirs.load()
        assert not np.array_equal(ours.integrals, theirs.integrals)
        assert np.abs(ours.integrals - theirs.integrals).mean() < 0.01 * theirs.integrals.max()


def test_two_workers_give_the_same_cohort(built, archive, study, tmp_path):
    cohort, state, _ = built
    (tmp_path / "site-secret").write_bytes((state / "site-secret").read_bytes())
    (tmp_path / "site-secret").chmod(0o600)
    side_by_side = build_cohort(archive, study, Role.TRAIN, tmp_path, workers=2)
    assert side_by_side.flow == cohort.flow
    assert side_by_side.verdicts == cohort.verdicts
    for ours, theirs in zip(side_by_side.train, cohort.train, strict=True):
        assert np.array_equal(ours.load().volume_hu, theirs.load().volume_hu)


def test_held_out_site_keeps_every_case_for_evaluation(built, archive, study, no_building):
    _, state, _ = built
    cohort = build_cohort(archive, study, Role.EVALUATE, state)
    assert cohort.train == ()
    assert len(cohort.validation) == COUNT


def test_an_archive_without_a_usable_series_is_examined_and_only_then_refused(series, study, tmp_path):
    series(tags={"Modality": "MR"}, sop_class="1.2.840.10008.5.1.4.1.1.4").write(tmp_path / "archive")
    findings = examine(tmp_path / "archive", study, tmp_path / "state")
    assert findings.cases == ()
    assert [verdict.code for verdict in findings.verdicts] == [VerdictCode.NOT_CT]
    with pytest.raises(Refusal) as refusal:
        findings.require_enough(tmp_path / "archive")
    assert refusal.value.code is ExitCode.COHORT_TOO_SMALL


def test_the_studys_choice_on_contrast_keeps_the_cases_built_before(built, archive, study, no_building):
    _, state, _ = built
    native = study.model_copy(update={"cohort": CohortSettings(minimum_cases=1, contrast="none")})
    assert build_cohort(archive, native, Role.TRAIN, state).flow.used == COUNT


def test_workers_are_taken_where_they_pay(monkeypatch):
    monkeypatch.setattr(building.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(building.psutil, "virtual_memory", lambda: SimpleNamespace(available=64 << 30))
    assert [building._worthwhile(patients) for patients in (0, 7, 8, 20, 500)] == [1, 1, 1, 2, 8]
    monkeypatch.setattr(building.psutil, "virtual_memory", lambda: SimpleNamespace(available=5 << 30))
    assert building._worthwhile(500) == 2
    monkeypatch.setattr(building.psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 30))
    assert building._worthwhile(500) == 1


def test_too_few_cases_are_refused_with_the_reasons(built, archive, study, no_building):
    _, state, _ = built
    demanding = study.model_copy(update={"cohort": CohortSettings(minimum_cases=4)})
    with pytest.raises(Refusal) as refusal:
        build_cohort(archive, demanding, Role.TRAIN, state)
    assert refusal.value.code is ExitCode.COHORT_TOO_SMALL
    assert "not_ct 1" in str(refusal.value)


def test_the_same_images_under_two_identifiers_are_one_case(head_series, study, tmp_path):
    for number in range(2):
        head_series(patient_id=f"p{number}").write(tmp_path / "archive" / str(number))
    cohort = build_cohort(tmp_path / "archive", study, Role.TRAIN, tmp_path / "state")
    assert cohort.flow.used == 1
    assert cohort.flow.excluded == {"duplicate_content": 1}


@pytest.mark.parametrize("reversed_pixels", [False, True])
def test_left_stays_left_from_dicom_to_case(head_hu, head_series, study, tmp_path, reversed_pixels):
    """A block of bone in the left frontal brain; the series is also written with rows and columns reversed."""
    marked = head_hu.copy()
    marked[26:30, 22:28, 40:46] = 1500
    writer = head_series()
    writer.hu = marked
    if reversed_pixels:
        writer.hu = marked[:, ::-1, ::-1]
        writer.orientation = (-1, 0, 0, 0, -1, 0)
        writer.origins = writer.origins + np.array([63 * 3.0, 79 * 3.0, 0])
    writer.write(tmp_path / "archive", np.random.default_rng(0).permutation(40))
    case = build_cohort(tmp_path / "archive", study, Role.TRAIN, tmp_path / "state").train[0].load()
    inside = np.zeros(study.grid.shape, bool)
    inside[16:24, 8:22, 10:22] = True
    z, y, x = (np.median(index) for index in np.nonzero(inside & (case.volume_hu > 600)))
    assert x > 17
    assert y < 14
    assert z > 16


def test_a_second_build_waits_for_the_first(built, archive, study, no_building):
    cohort, state, _ = built
    with (state / "cohort.lock").open() as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = pool.submit(build_cohort, archive, study, Role.TRAIN, state)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=2)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result(timeout=60) == cohort


def test_a_full_disk_is_one_refusal_and_keeps_what_was_built(built, archive, study, tmp_path, monkeypatch):
    saved = []

    def full(path, data, *, mode):
        if len(saved) >= 4:
            raise Refusal(ExitCode.DISK_FULL, "no space left on the disk", where=str(path), mend="free space")
        saved.append(path)
        real(path, data, mode=mode)

    real = case_module.write_atomic
    monkeypatch.setattr(case_module, "write_atomic", full)
    monkeypatch.setattr(cache, "write_atomic", full)
    with pytest.raises(Refusal) as refusal:
        build_cohort(archive, study, Role.TRAIN, tmp_path)
    assert refusal.value.code is ExitCode.DISK_FULL
    assert len(list(tmp_path.rglob("*.safetensors"))) >= 1
    monkeypatch.undo()
    assert build_cohort(archive, study, Role.TRAIN, tmp_path).flow.used == COUNT


def test_a_build_killed_in_the_middle_goes_on_where_it_stopped(archive, study, tmp_path, monkeypatch):
    code = (
        "import sys; from pathlib import Path\n"
        "from client.archive import build_cohort\n"
        "from common.exchange import Role\n"
        "from common.study import Study\n"
        "study = Study.model_validate_json(sys.argv[3])\n"
        "build_cohort(Path(sys.argv[1]), study, Role.TRAIN, Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, str(archive), str(tmp_path), study.model_dump_json()]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("*.verdict.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(tmp_path.rglob("*.verdict.json")))
    assert 1 <= finished < COUNT
    leaving = next(tmp_path.rglob("*.verdict.json")).parent / ".half.tmp"
    leaving.write_bytes(b"x")
    counted = []
    construct = cache.construct_case
    monkeypatch.setattr(cache, "construct_case", lambda *args: counted.append(1) or construct(*args))
    cohort = build_cohort(archive, study, Role.TRAIN, tmp_path)
    assert cohort.flow.used == COUNT
    assert len(counted) == COUNT - finished
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_series_that_fails_leaves_the_others_alone(archive, head_series, study, tmp_path):
    copied = tmp_path / "archive"
    shutil.copytree(archive, copied)
    damaged = sorted((copied / "SECRETNAME2" / "s").iterdir())
    damaged[7].write_bytes(damaged[7].read_bytes()[:-500])
    cohort = build_cohort(copied, study, Role.TRAIN, tmp_path / "state")
    assert cohort.flow.used == COUNT - 1
    assert cohort.flow.excluded["unreadable"] == 1


@pytest.mark.real_heads
def test_a_case_from_a_series_of_256_by_256_by_70_takes_at_most_one_and_a_half_cpu_seconds(
    series, real_ct, study, tmp_path
):
    image = sitk.ReadImage(str(next((real_ct / "nifti").glob("01_*"))))
    hu = sitk.GetArrayFromImage(image)[:105:3].repeat(2, axis=0).astype(np.float32)
    origins = np.array([[-122.0, -122.0, 2.25 * index] for index in range(70)])
    series(hu, origins=origins, spacing_mm=(0.957, 0.957)).write(tmp_path / "archive")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        build_cohort(tmp_path / "archive", study, Role.TRAIN, tmp_path / "warm")
        start = time.process_time()
        assert build_cohort(tmp_path / "archive", study, Role.TRAIN, tmp_path / "state").flow.used == 1
        assert time.process_time() - start < 1.5
    finally:
        torch.set_num_threads(threads)
