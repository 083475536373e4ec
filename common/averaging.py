"""The running average of a generator's weights (Polyak and Juditsky, 1992), which predicts better than its last steps.

Sites send what they trained, never an average: an average lags behind, and sites that start a round from it repeat
steps that were already made. The coordinator follows the aggregate over the rounds with :func:`round_decay`; its
average is what held-out sites evaluate and what is released, and it stands in every checkpoint. A site that trains
alone follows its own steps with the decay itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from common.study import Optimisation

AVERAGED_GENERATOR = "generator_average"


def round_decay(optimisation: Optimisation) -> float:
    """The decay of a whole round of steps."""
    return optimisation.ema_decay**optimisation.steps_per_round


def moved_average(
    average: Mapping[str, Tensor] | None, weights: Mapping[str, Tensor], decay: float
) -> dict[str, Tensor]:
    """``decay * average + (1 - decay) * weights`` by name; a copy of the weights where there is no average yet."""
    if average is None:
        return {name: tensor.detach().clone() for name, tensor in weights.items()}
    return {name: torch.lerp(average[name], tensor.detach(), 1 - decay) for name, tensor in weights.items()}


def released(weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """The generator of a checkpoint that is evaluated and released: its running average where the study keeps one."""
    return weights.get(AVERAGED_GENERATOR, weights["generator"])
