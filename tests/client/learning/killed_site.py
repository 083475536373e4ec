"""A site's training as a process of its own: ``killed_site.py FOLDER FIRST LAST`` trains rounds and says every step.

What a coordinator would hold lies in FOLDER as ``sent-N.safetensors``: the generator after round N.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from client.case import Case
from client.learning import LocalTrainer, StepProgress
from common.exchange import weights_of
from common.files import read_tensors, write_tensors
from common.geometry import Geometry, Grid
from common.networks import build_generator
from common.study import DiscriminatorSettings, Federation, GeneratorSettings, Networks, Optimisation, Study

STUDY = Study(
    name="killed",
    grid=Grid(shape=(16, 16, 16), voxel_mm=14.0),
    geometry=Geometry(detector_shape=(16, 16), pixel_mm=24.0),
    networks=Networks(
        generator=GeneratorSettings(width_2d=4, width_3d=4, stages_3d=1, consistency_steps=1),
        # A discriminator that stays at the site is part of what a kill must not lose.
        discriminator=DiscriminatorSettings(width=4, spectral_norm=True, federated=False),
    ),
    optimisation=Optimisation(
        steps_per_round=3,
        adversarial_from_step=1,
        warmup_steps=2,
        ema_decay=0.5,
        proximal_weight=0.01,
        feature_matching_weight=0.1,
    ),
    federation=Federation(rounds=4),
)


def cases() -> list[Case]:
    rng = np.random.default_rng(3)
    volumes = rng.integers(-1000, 1500, (3, *STUDY.grid.shape)).astype(np.int16)
    pairs = rng.uniform(0, 4, (3, 2, *STUDY.geometry.detector_shape)).astype(np.float32)
    return [Case(f"case{n}", volumes[n], pairs[n], None) for n in range(3)]


def train(folder: Path, first: int, last: int) -> None:
    torch.set_num_threads(1)
    trainer = LocalTrainer(STUDY, cases(), folder / "state", torch.device("cpu"))
    for number in range(first, last + 1):
        before = folder / f"sent-{number - 1}.safetensors"
        generator = read_tensors(before) if before.exists() else weights_of(build_generator(STUDY))

        def say(progress: StepProgress, number: int = number) -> None:
            print(f"round {number} step {progress.step}", flush=True)

        outcome = trainer.train_round(number, generator, None, say)
        write_tensors(folder / f"sent-{number}.safetensors", outcome.generator)
        write_tensors(folder / f"average-{number}.safetensors", outcome.averaged)


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
