"""The study behind every network of the table: one recipe, and what each method changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from benchmarks.quality.cohort import GEOMETRY, GRID, RADIOGRAPH
from common.study import Study

# The discriminator joins after this share of the steps, when there is something to judge.
ADVERSARIAL_FROM = 0.3

Options = dict[str, Any]

_BARE: Options = {"name": "lifting", "size": "small", "consistency_steps": 0}
_CONSISTENT: Options = _BARE | {"consistency_steps": 2, "inference_consistency_steps": 20}
_RECIPE: Options = {
    # Averages over sites are batches too: of the same cases, more and smaller steps serve a federation better.
    "batch_size": 1,
    "optimiser": "muon",
    "lr_generator": 3e-3,
    "lr_discriminator": 1e-3,
    "warmup_steps": 40,
    "l1_weight": 1.0,
    "mse_weight": 4.0,
    "body_weight": 1.0,
    "bone_weight": 2.0,
    "reprojection_weight": 0.1,
    "adversarial_weight": 0.0,
    "mixed_precision": True,
}
_GAME: Options = _RECIPE | {"adversarial_weight": 0.002}
# Ying et al., CVPR 2019: least squares 0.1, squared error 10, projections along the axes 10; Adam at 2e-4.
_X2CT: Options = _RECIPE | {
    "optimiser": "adamw",
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
_SIGMOID: Options = {"tissues_hu": (), "consistency_weight": "learned"}
_VARIANCE: Options = {"variance": True, "consistency_weight": "variance"}


@final
@dataclass(frozen=True)
class Network:
    """What a method changes in a study.

    Attributes:
        generator: the study's ``networks.generator``.
        optimisation: what differs from the study's defaults.
        joins_at: share of the steps after which the discriminator joins; 1 where there is none.
        widening: strengths on top of the cohort's own deformations.
    """

    generator: Options
    optimisation: Options
    joins_at: float = 1.0
    widening: Options = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Federation:
    """How sites train together.

    Attributes:
        every_steps: steps of each site between two averages.
        optimisation: what differs from the network's own.
    """

    every_steps: int
    optimisation: Options = field(default_factory=dict)


FEDERATED_AS, FEDERATED = "lifting GAN + consistency", "federated, three sites"
FEDERATIONS: Mapping[str, Federation] = {FEDERATED: Federation(10)} | {
    f"federated, every {steps} steps": Federation(steps) for steps in (5, 20, 50, 100)
}
_OURS = Network(_CONSISTENT, _GAME, ADVERSARIAL_FROM)

NETWORKS: Mapping[str, Network] = {
    "lifting": Network(_BARE, _RECIPE),
    "lifting + consistency": Network(_CONSISTENT, _RECIPE),
    "lifting GAN": Network(_BARE, _GAME, ADVERSARIAL_FROM),
    FEDERATED_AS: _OURS,
    "X2CT-GAN": Network({"name": "x2ct", "consistency_steps": 0}, _X2CT, 0.0),
}
# One thing changed in the network without the game, to see what matters.
ABLATIONS: Mapping[str, Network] = {
    "widened on the fly": Network(
        _CONSISTENT, _RECIPE, widening={"displacement_mm": 3.0, "scale": 0.05, "rotation_deg": 3.0, "shift_mm": 3.0}
    ),
    "sigmoid, learned freedom": Network(_CONSISTENT | _SIGMOID, _RECIPE | {"raw_weight": 0.0}),
    "sigmoid without consistency": Network(_BARE | _SIGMOID, _RECIPE),
    "nothing asked before consistency": Network(_CONSISTENT, _RECIPE | {"raw_weight": 0.0}),
    "variance by likelihood": Network(_CONSISTENT | _VARIANCE, _RECIPE | {"likelihood_weight": 0.02}),
    "AdamW": Network(_CONSISTENT, _RECIPE | {"optimiser": "adamw", "lr_generator": 1.5e-3}),
    "uniform freedom": Network(_CONSISTENT | {"consistency_weight": "uniform"}, _RECIPE),
    "eight steps unrolled": Network(_CONSISTENT | {"consistency_steps": 8}, _RECIPE),
    "base size": Network(_CONSISTENT | {"size": "base"}, _RECIPE),
    "batches of two": Network(_CONSISTENT, _RECIPE | {"batch_size": 2}),
    "brain weighted": Network(_CONSISTENT, _RECIPE | {"brain_weight": 2.0}),
    "running average": Network(_CONSISTENT, _RECIPE | {"ema_decay": 0.98}),
}


def network_of(name: str) -> Network:
    """A network of the table or an ablation."""
    return NETWORKS[name] if name in NETWORKS else ABLATIONS[name]


def study_of(network: str, seed: int, steps: int, *, federation: Federation | None = None) -> Study:
    """The study of a network for a number of steps, in one round or in those of a federation.

    Args:
        network: key of :data:`NETWORKS` or :data:`ABLATIONS`.
        seed: of first weights and sampling.
        steps: steps of each site in the whole run; a federation leaves out what makes no whole round.
        federation: how sites train together, where they do.
    """
    chosen = network_of(network)
    rounds = 1
    if federation is not None:
        rounds = max(1, steps // federation.every_steps)
        steps = rounds * federation.every_steps
    optimisation = dict(chosen.optimisation) | (federation.optimisation if federation else {})
    optimisation |= {
        "seed": seed,
        "steps_per_round": steps // rounds,
        "warmup_steps": min(optimisation["warmup_steps"], steps // 5),
        "adversarial_from_step": round(chosen.joins_at * steps),
    }
    return Study.model_validate(
        {
            "name": "quality",
            "grid": GRID,
            "geometry": GEOMETRY,
            "radiograph": RADIOGRAPH,
            "networks": {"generator": chosen.generator, "discriminator": {"width": 16, "layers": 2}},
            "optimisation": optimisation,
            "federation": {"rounds": rounds},
            "widening": chosen.widening,
            "privacy": {"minimum_cases": 1},
        }
    )
