"""The shipped study at 128³, as each measurement needs it, and a twin of 32³ that a processor can do in a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.step.worker import CONFIGURATION, FACTS, LIFTING, WIDENING, X2CT
from client.case import Case, drr_pair
from client.phantom import procedural_head
from common.study import Study

_PEER_LOSSES = {
    "l1_weight": 0.0,
    "mse_weight": 10.0,
    "axis_projection_weight": 10.0,
    "reprojection_weight": 0.0,
    "adversarial_weight": 0.1,
}


def shipped(
    *,
    tiny: bool,
    network: str = LIFTING,
    widened: bool = False,
    generator: Mapping[str, Any] | None = None,
    **optimisation: float | bool | str,
) -> Study:
    """``configs/cranial-drr-128.toml`` with both players in the game from the first step.

    Args:
        tiny: 32³ and narrow networks in place of 128³.
        network: ``lifting`` or ``x2ct``, the latter with the losses of its paper.
        widened: every widening switched on.
        generator: further settings of the generator.
        optimisation: further settings of the optimisation.
    """
    document: dict[str, Any] = Study.from_toml(CONFIGURATION).model_dump(mode="json")
    document["optimisation"]["adversarial_from_step"] = 0
    if tiny:
        document["grid"] |= {"shape": [32, 32, 32], "voxel_mm": 7.2}
        document["geometry"] |= {"detector_shape": [64, 64], "pixel_mm": 6.0}
        document["networks"]["discriminator"] |= {"width": 4, "layers": 2}
        if network == LIFTING:
            document["networks"]["generator"] |= {"width_2d": 4, "width_3d": 4, "stages_3d": 2}
    if network == X2CT:
        document["networks"]["generator"] = {"name": X2CT, "consistency_steps": 0}
        document["optimisation"] |= _PEER_LOSSES
    document["networks"]["generator"] |= dict(generator or {})
    document["optimisation"] |= optimisation
    if widened:
        document["widening"] = WIDENING.model_dump()
    for section in ("cohort", "privacy"):
        document[section]["minimum_cases"] = 1
    return Study.model_validate(document)


def procedural_case(study: Study, number: int = 1) -> Case:
    """A procedural head with its radiographs."""
    volume = procedural_head(number, study.grid)
    integrals = drr_pair(volume.astype("float32"), study.grid.voxel_mm, study.geometry, study.radiograph)
    return Case(f"head-{number}", volume, integrals, FACTS)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm of what was expected, in float64; NaN where either is not finite."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-300))
