from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.robustness import calibration
from benchmarks.robustness.calibration import calibrations, expected_share
from benchmarks.robustness.mismatch import EXACT, mismatched_integrals
from benchmarks.robustness.short_training import unseen_heads, with_variance
from client.synthesis import SyntheticCt, synthesize_with_sd
from common.exchange import weights_of
from common.metrics import body_mask
from common.networks import build_generator
from common.study import Study


@pytest.mark.parametrize("likelihood", ["laplace", "gaussian"])
def test_errors_drawn_as_the_likelihood_says_lie_within_its_shares(likelihood: str) -> None:
    random = np.random.default_rng(1)
    sd = random.uniform(10, 300, 200_000)
    drawn = random.laplace(0, sd / np.sqrt(2)) if likelihood == "laplace" else random.normal(0, sd)
    found = calibration._calibration(np.abs(drawn).astype(np.float32), sd.astype(np.float32))
    assert found.within_1_sd == pytest.approx(expected_share(likelihood, 1), abs=0.01)
    assert found.within_2_sd == pytest.approx(expected_share(likelihood, 2), abs=0.01)
    assert found.error_hu == pytest.approx(found.sd_hu, rel=0.1)
    assert found.errs_where_it_doubts


def test_an_sd_that_says_nothing_is_seen() -> None:
    random = np.random.default_rng(1)
    error = np.abs(random.normal(0, 100, 50_000)).astype(np.float32)
    sure = calibration._calibration(error, np.full_like(error, 10.0))
    assert sure.within_2_sd < 0.2
    backwards = calibration._calibration(error, 1000 - error)
    assert not backwards.errs_where_it_doubts


def test_shares_are_those_of_the_bodies_voxels_and_of_what_is_synthesized(tiny: Study) -> None:
    study = with_variance(tiny)
    weights, heads = weights_of(build_generator(study)), unseen_heads(study, 2)
    integrals = mismatched_integrals(study, torch.stack(heads))
    found = calibrations(study, weights, heads, integrals)
    assert set(found) == set(integrals)
    within, voxels = 0, 0
    for head, pair in zip(heads, integrals[EXACT], strict=True):
        predicted: SyntheticCt = synthesize_with_sd(study, weights, pair.numpy())
        assert predicted.sd_hu is not None
        near = np.abs(predicted.volume_hu - head.clamp(-1000, 1500).numpy()) <= predicted.sd_hu
        within += int((near & body_mask(head).numpy()).sum())
        voxels += int(body_mask(head).sum())
    assert found[EXACT].within_1_sd == pytest.approx(within / voxels)
    assert 0 < within < voxels


def test_a_study_without_a_variance_is_not_taken(tiny: Study) -> None:
    heads = unseen_heads(tiny, 1)
    integrals = mismatched_integrals(tiny, torch.stack(heads))
    with pytest.raises(ValueError, match="tiny predicts no variance"):
        calibrations(tiny, weights_of(build_generator(tiny)), heads, integrals)
