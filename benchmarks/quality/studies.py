"""The study behind every network of the table: one recipe, and what each method changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.quality.cohort import GEOMETRY, GRID, RADIOGRAPH
from common.study import Study

CONSISTENT = {"consistency_steps": 2, "inference_consistency_steps": 20}
BARE = {"consistency_steps": 0}
# The discriminator joins after this share of the steps, when there is something to judge.
ADVERSARIAL_FROM = 0.3
STEPS_PER_ROUND = 10

LIFTING: Mapping[str, Any] = {"name": "lifting", "size": "small"}
RECIPE: Mapping[str, Any] = {
    "batch_size": 2,
    "lr_generator": 1.5e-3,
    "lr_discriminator": 4e-4,
    "warmup_steps": 40,
    "l1_weight": 1.0,
    "mse_weight": 4.0,
    "body_weight": 1.0,
    "bone_weight": 2.0,
    "reprojection_weight": 0.1,
    "adversarial_weight": 0.0,
    "mixed_precision": True,
}
GAME: Mapping[str, Any] = {"adversarial_weight": 0.02}
# Ying et al., CVPR 2019: least squares 0.1, squared error 10, projections along the axes 10; Adam at 2e-4.
X2CT: Mapping[str, Any] = {
    "lr_generator": 2e-4,
    "lr_discriminator": 2e-4,
    "warmup_steps": 0,
    "l1_weight": 0.0,
    "mse_weight": 10.0,
    "body_weight": 0.0,
    "bone_weight": 0.0,
    "reprojection_weight": 0.0,
    "axis_projection_weight": 10.0,
    "adversarial_weight": 0.1,
}

# By name: the generator's settings, what the recipe becomes, and the share of steps after which D joins.
NETWORKS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], float]] = {
    "lifting": ({**LIFTING, **BARE}, RECIPE, 1.0),
    "lifting + consistency": ({**LIFTING, **CONSISTENT}, RECIPE, 1.0),
    "lifting GAN": ({**LIFTING, **BARE}, {**RECIPE, **GAME}, ADVERSARIAL_FROM),
    "lifting GAN + consistency": ({**LIFTING, **CONSISTENT}, {**RECIPE, **GAME}, ADVERSARIAL_FROM),
    "X2CT-GAN": ({"name": "x2ct", **BARE}, {**RECIPE, **X2CT}, 0.0),
}
FEDERATED_AS = "lifting GAN + consistency"


def study_of(network: str, seed: int, steps: int, *, rounds: int = 1) -> Study:
    """The study of a network for a number of steps in all, in equal rounds.

    Args:
        network: key of :data:`NETWORKS`.
        seed: of first weights and sampling.
        steps: steps of each site in the whole run, a multiple of ``rounds``.
        rounds: how often sites are averaged.
    """
    generator, recipe, joins_at = NETWORKS[network]
    optimisation = dict(recipe) | {
        "seed": seed,
        "steps_per_round": max(1, steps // rounds),
        "warmup_steps": min(recipe["warmup_steps"], steps // 5),
        "adversarial_from_step": round(joins_at * steps),
    }
    return Study.model_validate(
        {
            "name": "quality",
            "grid": GRID,
            "geometry": GEOMETRY,
            "radiograph": RADIOGRAPH,
            "networks": {"generator": generator, "discriminator": {"width": 16, "layers": 2}},
            "optimisation": optimisation,
            "federation": {"rounds": rounds},
            "privacy": {"minimum_cases": 1},
        }
    )
