"""A build beside another, on a full disk, killed in the middle, and how long it takes."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from client.case import case as case_module
from client.cohort import build_cohort, building, case_store
from common.errors import ExitCode, Refusal
from common.roles import Role
from tests.client.heads import COUNT


def test_workers_are_taken_where_they_pay(monkeypatch):
    monkeypatch.setattr(building.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(building.psutil, "virtual_memory", lambda: SimpleNamespace(available=64 << 30))
    assert [building._worthwhile(patients) for patients in (0, 7, 8, 20, 500)] == [1, 1, 1, 2, 8]
    monkeypatch.setattr(building.psutil, "virtual_memory", lambda: SimpleNamespace(available=5 << 30))
    assert building._worthwhile(500) == 2
    monkeypatch.setattr(building.psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 30))
    assert building._worthwhile(500) == 1


def test_two_workers_give_the_same_cohort(built, heads, study, tmp_path):
    cohort, state, _ = built
    (tmp_path / "site-secret").write_bytes((state / "site-secret").read_bytes())
    (tmp_path / "site-secret").chmod(0o600)
    side_by_side = build_cohort(heads, study, Role.TRAIN, tmp_path, workers=2)
    assert side_by_side.flow == cohort.flow
    assert side_by_side.verdicts == cohort.verdicts
    for ours, theirs in zip(side_by_side.train, cohort.train, strict=True):
        assert np.array_equal(ours.load().volume_hu, theirs.load().volume_hu)


def test_a_second_build_waits_for_the_first(built, heads, study, no_building):
    cohort, state, _ = built
    with (state / "cohort.lock").open() as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = pool.submit(build_cohort, heads, study, Role.TRAIN, state)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=2)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result(timeout=60) == cohort


def test_a_full_disk_is_one_refusal_and_keeps_what_was_built(built, heads, study, tmp_path, monkeypatch):
    saved = []

    def full(path, data, *, mode):
        if len(saved) >= 4:
            raise Refusal(ExitCode.DISK_FULL, "no space left on the disk", where=str(path), mend="free space")
        saved.append(path)
        real(path, data, mode=mode)

    real = case_module.write_atomic
    monkeypatch.setattr(case_module, "write_atomic", full)
    monkeypatch.setattr(case_store, "write_atomic", full)
    with pytest.raises(Refusal) as refusal:
        build_cohort(heads, study, Role.TRAIN, tmp_path)
    assert refusal.value.code is ExitCode.DISK_FULL
    assert len(list(tmp_path.rglob("*.safetensors"))) >= 1
    monkeypatch.undo()
    assert build_cohort(heads, study, Role.TRAIN, tmp_path).flow.used == COUNT


def test_a_build_killed_in_the_middle_goes_on_where_it_stopped(heads, study, tmp_path, monkeypatch):
    code = (
        "import sys; from pathlib import Path\n"
        "from client.cohort import build_cohort\n"
        "from common.exchange import Role\n"
        "from common.study import Study\n"
        "study = Study.model_validate_json(sys.argv[3])\n"
        "build_cohort(Path(sys.argv[1]), study, Role.TRAIN, Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, str(heads), str(tmp_path), study.model_dump_json()]
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
    construct = case_store.construct_case
    monkeypatch.setattr(case_store, "construct_case", lambda *args: counted.append(1) or construct(*args))
    cohort = build_cohort(heads, study, Role.TRAIN, tmp_path)
    assert cohort.flow.used == COUNT
    assert len(counted) == COUNT - finished
    assert not list(tmp_path.rglob("*.tmp"))


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
