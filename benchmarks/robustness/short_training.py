"""Networks trained for a few minutes on procedural heads, with and without the fit of gain and offset."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.quality.cohort import FACTS
from benchmarks.quality.training import train
from client.case import Case, drr_pair
from client.phantom import procedural_head
from common.exchange import Weights
from common.study import Study

# What a likelihood is worth beside the reconstruction: enough for the variance, too little to blur.
LIKELIHOOD_WEIGHT = 0.02
TRAINED_ON, FIRST_UNSEEN = 60, 5000


def with_variance(study: Study) -> Study:
    """The study with a generator that predicts each voxel's variance."""
    document: dict[str, Any] = study.model_dump()
    document["networks"]["generator"]["variance"] = True
    document["optimisation"]["likelihood_weight"] = LIKELIHOOD_WEIGHT
    return Study.model_validate(document)


def shortened(study: Study, steps: int, *, affine: bool) -> Study:
    """The study for a few steps at one site, without the game, which needs more of them."""
    document: dict[str, Any] = study.model_dump()
    document["networks"]["generator"]["consistency_affine"] = affine
    options = document["optimisation"]
    options |= {"steps_per_round": steps, "warmup_steps": min(options["warmup_steps"], steps // 5)}
    options |= {"adversarial_weight": 0.0, "feature_matching_weight": 0.0}
    document["federation"]["rounds"] = 1
    return Study.model_validate(document)


def trained(study: Study) -> Weights:
    """The generator's weights after all steps of a study on procedural heads, noise-free."""
    cases = [procedural_case(study, seed) for seed in range(TRAINED_ON)]
    return train(study, cases, lambda _: None).weights


def unseen_heads(study: Study, count: int) -> list[Tensor]:
    """Procedural heads that were not trained on, (z, y, x) HU on the study's grid."""
    seeds = range(FIRST_UNSEEN, FIRST_UNSEEN + count)
    return [torch.from_numpy(procedural_head(seed, study.grid)).float() for seed in seeds]


def known_heads(study: Study, count: int) -> list[Tensor]:
    """The first of the heads that are trained on, (z, y, x) HU on the study's grid."""
    return [torch.from_numpy(procedural_head(seed, study.grid)).float() for seed in range(count)]


def procedural_case(study: Study, seed: int) -> Case:
    """A procedural head on the study's grid with its noise-free radiographs."""
    volume = procedural_head(seed, study.grid)
    integrals = drr_pair(volume.astype("float32"), study.grid.voxel_mm, study.geometry, study.radiograph)
    return Case(f"head-{seed:04d}", volume, integrals, FACTS)
