from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import client.link.work
from client.case import Case, CaseFacts
from client.cohort import CaseFile, Cohort
from client.link import StudyWork, Workbench
from common.exchange import CohortFlow, TrainRequest, weights_of
from common.networks import build_discriminator, build_generator
from common.progress import Phase, ProgressFile
from common.roles import Role
from common.study import Study

FACTS = CaseFacts(
    **{name: 1.0 for name in CaseFacts.model_fields if name not in ("manufacturer", "kvp", "slices")},
    manufacturer="other",
    kvp=None,
    slices=40,
)


@pytest.fixture
def small(study: Study) -> Study:
    return study.model_copy(update={"optimisation": study.optimisation.model_copy(update={"steps_per_round": 1})})


@pytest.fixture
def cohort(small: Study, tmp_path: Path) -> Cohort:
    rng, files = np.random.default_rng(1), []
    for number in range(2):
        volume = rng.integers(-1000, 1500, small.grid.shape).astype(np.int16)
        integrals = rng.uniform(0, 4, (2, *small.geometry.detector_shape)).astype(np.float32)
        files.append(CaseFile(tmp_path / f"case{number}.safetensors", f"case{number}", small))
        Case(f"case{number}", volume, integrals, FACTS).save(files[-1].path)
    return Cohort(tuple(files), (), CohortFlow(found=2, eligible=2, used=2), ())


def work_on(study: Study, cohort: Cohort, state: Path, devices: int) -> StudyWork:
    progress = ProgressFile(state)
    return StudyWork(
        study, cohort, Workbench(Role.TRAIN, state, torch.device("cpu"), 0, progress, lambda: False, devices)
    )


@pytest.mark.processes
def test_a_site_with_two_devices_answers_a_train_request_with_both_and_repeats_its_reply(
    small: Study, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(client.link.work, "LocalTrainer")
    work = work_on(small, cohort, tmp_path, 2)
    weights = {"generator": weights_of(build_generator(small)), "discriminator": weights_of(build_discriminator(small))}
    request = TrainRequest(study_sha256=small.sha256, run="run", round=1)
    reply, trained = work.train(request, weights)
    assert (reply.cases, reply.steps, reply.skipped_steps) == (2, 1, 0)
    said = ProgressFile(tmp_path).read()
    assert said is not None and (said.phase, said.done, said.total) == (Phase.TRAINING, 1, 1)
    assert [path.name for path in (tmp_path / "training" / "run").rglob("*")] == ["round-000001.safetensors"]
    monkeypatch.delattr(client.link.work, "Crew")
    again, same = work.train(request, weights)
    assert again == reply
    assert all(torch.equal(same["generator"][name], trained["generator"][name]) for name in trained["generator"])


def test_a_site_with_one_device_starts_no_process(
    small: Study, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(client.link.work, "Crew")
    weights = {"generator": weights_of(build_generator(small)), "discriminator": weights_of(build_discriminator(small))}
    request = TrainRequest(study_sha256=small.sha256, run="run", round=1)
    assert work_on(small, cohort, tmp_path, 1).train(request, weights)[0].steps == 1
