"""The networks of a study, by name; their first weights follow from the study's seed alone."""

from __future__ import annotations

from collections.abc import Callable

import torch

from common.networks.brain_atlas import ATLAS_LOW_MM, ATLAS_NODE_MM, ATLAS_SHAPE
from common.networks.consistency import ProjectorConsistency
from common.networks.discriminator import Discriminator, PatchDiscriminator
from common.networks.generator import Generator, Prediction
from common.networks.lifting_generator import LiftingGenerator
from common.networks.parameters import load_parameters
from common.networks.radiograph_input import network_input
from common.networks.x2ct import X2ctGenerator
from common.study import Study

_GENERATORS: dict[str, Callable[[Study], Generator]] = {"lifting": LiftingGenerator, "x2ct": X2ctGenerator}
_DISCRIMINATORS: dict[str, Callable[[Study], Discriminator]] = {"patch": PatchDiscriminator}


def build_generator(study: Study) -> Generator:
    """The study's generator with first weights drawn from the study's seed: every call gives the same bits.

    Raises:
        Refusal: ``STUDY_INVALID`` if the network cannot work on the study's grid and detector.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(study.optimisation.seed)
        return _GENERATORS[study.networks.generator.name](study)


def build_discriminator(study: Study) -> Discriminator:
    """The study's discriminator, as :func:`build_generator` builds the generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(study.optimisation.seed + 1)
        return _DISCRIMINATORS[study.networks.discriminator.name](study)


__all__ = [
    "ATLAS_LOW_MM",
    "ATLAS_NODE_MM",
    "ATLAS_SHAPE",
    "Discriminator",
    "Generator",
    "LiftingGenerator",
    "Prediction",
    "ProjectorConsistency",
    "build_discriminator",
    "build_generator",
    "load_parameters",
    "network_input",
]
