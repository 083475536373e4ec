from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.quality import classical
from benchmarks.quality.classical import TrainingSet
from benchmarks.quality.cohort import Fold
from common.metrics.calculation import psnr_db


@pytest.fixture(scope="module")
def training(fold: Fold) -> TrainingSet:
    return TrainingSet.of(fold)


def quality(fold: Fold, predicted: Tensor) -> float:
    pairs = zip(fold.heads.truths_hu, predicted, strict=False)
    return sum(psnr_db(truth, hu, classical.WINDOW) for truth, hu in pairs) / len(predicted)


def test_the_mean_ignores_the_radiographs(fold: Fold, training: TrainingSet) -> None:
    predicted = classical.mean_volume(training, fold.heads.integrals)
    windowed = torch.stack([torch.from_numpy(case.volume_hu) for case in fold.cases]).float().clamp(-1000, 1500)
    assert torch.allclose(predicted[0], windowed.mean(dim=0), atol=0.5)
    assert torch.equal(predicted[0], predicted[1])


def test_the_nearest_case_is_found_by_its_own_radiographs(fold: Fold, training: TrainingSet) -> None:
    own = torch.from_numpy(fold.cases[7].integrals)[None]
    found = classical.nearest(training, own)[0]
    assert torch.allclose(found, torch.from_numpy(fold.cases[7].volume_hu).float(), atol=0.01)


def test_ridge_without_a_penalty_repeats_its_cases_and_with_a_great_one_their_mean(training: TrainingSet) -> None:
    exact = classical._ridge(training.images, training.volumes, training.images[:2], 1e-9)
    dull = classical._ridge(training.images, training.volumes, training.images[:2], 1e9)
    assert torch.allclose(exact, training.volumes[:2], atol=1e-3)
    assert torch.allclose(dull, training.volumes.mean(dim=0).expand(2, -1), atol=1e-3)


def test_ridge_is_that_of_the_textbook(training: TrainingSet) -> None:
    images, volumes = training.images[:, ::97].double(), training.volumes[:, ::1009].double()
    measured, penalty = images[3:5] * 1.01, 0.3
    centred = images - images.mean(dim=0)
    scale = penalty * (centred @ centred.t()).diagonal().mean()
    primal = torch.linalg.solve(centred.t() @ centred + scale * torch.eye(centred.shape[1]), centred.t())
    wanted = volumes.mean(dim=0) + (measured - images.mean(dim=0)) @ primal @ (volumes - volumes.mean(dim=0))
    got = classical._ridge(images.float(), volumes.float(), measured.float(), penalty)
    assert torch.allclose(got.double(), wanted, atol=1e-4)


def test_the_penalty_is_one_of_the_list_and_beats_the_mean_on_a_new_head(fold: Fold, training: TrainingSet) -> None:
    predicted, penalty = classical.ridge(training, fold.heads.integrals)
    assert penalty in classical.PENALTIES
    mean = quality(fold, classical.mean_volume(training, fold.heads.integrals))
    assert quality(fold, predicted) > mean + 1


def test_consistency_brings_a_mean_nearer_to_the_truth_and_keeps_what_may_not_move(
    fold: Fold, training: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classical, "CONSISTENCY_STEPS", 6)
    measured = fold.heads.integrals[:1]
    mean = classical.mean_volume(training, measured)
    moved = classical.consistent(mean, measured, training.variance())
    assert quality(fold, moved) > quality(fold, mean) + 1
    still = (training.variance() == 0)[0, 0]
    assert bool(still.any())
    assert torch.allclose(moved[:, still], mean[:, still], atol=0.01)
