"""The study behind every network of the table: the shipped one, and what each method changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from benchmarks.quality.store import ROOT
from common.study import CohortSettings, Privacy, Study, Widening

Options = dict[str, Any]

RECIPE = Study.from_toml(ROOT / "configs" / "cranial-drr-64.toml")
# The discriminator joins after this share of the steps.
ADVERSARIAL_FROM = RECIPE.optimisation.adversarial_from_step / (
    RECIPE.federation.rounds * RECIPE.optimisation.steps_per_round
)
# Heads of one machine: nothing leaves it, and a fold has as many cases as it has.
_HERE: Options = {
    "name": "quality",
    "title": "",
    "cohort": CohortSettings().model_dump(),
    "privacy": Privacy(minimum_cases=1).model_dump(),
}

# The benchmark's cohort holds deformed heads already, and its table tells apart what the recipe puts together.
_NO_BRAIN: Options = {"anatomy": "none"}
_NOT_ASKED: Options = {"brain_window_weight": 0.0, "brain_contrast_weight": 0.0}

_INCONSISTENT: Options = {"consistency_steps": 0, "inference_consistency_steps": None}
_WITHOUT_GAME: Options = {"adversarial_weight": 0.0}
# Ying et al., CVPR 2019: least squares 0.1, squared error 10, projections along the axes 10; Adam at 2e-4.
_X2CT: Options = {
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
FEDERATED_AS, FEDERATED = "lifting GAN + consistency", "federated, three sites"


@final
@dataclass(frozen=True)
class Network:
    """What a method changes in a study.

    Attributes:
        generator: what differs from its ``networks.generator``.
        optimisation: what differs from its own.
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
        network: what they train.
    """

    every_steps: int
    optimisation: Options = field(default_factory=dict)
    network: str = FEDERATED_AS


BRAIN, ATLAS = f"{FEDERATED_AS}, fixed atlas", f"{FEDERATED_AS}, brain atlas"
FEDERATED_BRAIN = f"{FEDERATED}, fixed atlas"
FEDERATIONS: Mapping[str, Federation] = {
    FEDERATED: Federation(RECIPE.optimisation.steps_per_round),
    FEDERATED_BRAIN: Federation(RECIPE.optimisation.steps_per_round, network=BRAIN),
} | {f"federated, every {steps} steps": Federation(steps) for steps in (5, 20, 50, 100)}
_OURS = Network({}, {}, ADVERSARIAL_FROM)

NETWORKS: Mapping[str, Network] = {
    "lifting": Network(_INCONSISTENT, _WITHOUT_GAME),
    "lifting + consistency": Network({}, _WITHOUT_GAME),
    "lifting GAN": Network(_INCONSISTENT, {}, ADVERSARIAL_FROM),
    FEDERATED_AS: _OURS,
    "X2CT-GAN": Network(_INCONSISTENT | {"name": "x2ct"}, _X2CT, 0.0),
}
# Soft tissue as an atlas bent to the skull, and asked for in the brain window.
_FIXED: Options = {"anatomy": "fixed"}
_LEARNED: Options = {"anatomy": "learned"}
_ASKED_FOR: Options = {"brain_window_weight": 0.2, "brain_contrast_weight": 0.2}

# One thing changed in the network without the game, to see what matters.
ABLATIONS: Mapping[str, Network] = {
    BRAIN: Network(_FIXED, _ASKED_FOR, ADVERSARIAL_FROM),
    ATLAS: Network(_LEARNED, _ASKED_FOR, ADVERSARIAL_FROM),
    "widened on the fly": Network(
        {}, _WITHOUT_GAME, widening={"displacement_mm": 3.0, "scale": 0.05, "rotation_deg": 3.0, "shift_mm": 3.0}
    ),
    "sigmoid, learned freedom": Network(_SIGMOID, _WITHOUT_GAME | {"raw_weight": 0.0}),
    "sigmoid without consistency": Network(_INCONSISTENT | _SIGMOID, _WITHOUT_GAME),
    "nothing asked before consistency": Network({}, _WITHOUT_GAME | {"raw_weight": 0.0}),
    "variance by likelihood": Network(_VARIANCE, _WITHOUT_GAME | {"likelihood_weight": 0.02}),
    "AdamW": Network({}, _WITHOUT_GAME | {"optimiser": "adamw", "lr_generator": 1.5e-3}),
    "uniform freedom": Network({"consistency_weight": "uniform"}, _WITHOUT_GAME),
    "eight steps unrolled": Network({"consistency_steps": 8}, _WITHOUT_GAME),
    "base size": Network({"size": "base"}, _WITHOUT_GAME),
    "batches of two": Network({}, _WITHOUT_GAME | {"batch_size": 2}),
    "brain weighted": Network({}, _WITHOUT_GAME | {"brain_weight": 2.0}),
    "running average": Network({}, _WITHOUT_GAME | {"ema_decay": 0.98}),
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
    document = RECIPE.model_dump() | _HERE
    document["networks"]["generator"] |= _NO_BRAIN | chosen.generator
    document["optimisation"] |= _NOT_ASKED | chosen.optimisation | (federation.optimisation if federation else {})
    document["optimisation"] |= {
        "seed": seed,
        "steps_per_round": steps // rounds,
        "warmup_steps": min(document["optimisation"]["warmup_steps"], steps // 5),
        "adversarial_from_step": round(chosen.joins_at * steps),
    }
    document["federation"]["rounds"] = rounds
    # Its sites are alike, and no record follows from a bound that none of them meets.
    document["federation"].pop("maximum_share", None)
    document["widening"] = Widening(**chosen.widening).model_dump()
    return Study.model_validate(document)
