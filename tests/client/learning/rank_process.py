"""One of several processes that train together: ``rank_process.py FOLDER RANK COUNT``; gradients go to FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from client.case import Case
from client.learning.local_training import LocalTrainer
from client.learning.players import Players
from client.learning.ranks import Ranks
from client.learning.samples import Samples
from common.exchange import weights_of
from common.files import write_tensors
from common.geometry import Geometry, Grid
from common.networks import build_discriminator, build_generator
from common.study import DiscriminatorSettings, GeneratorSettings, Networks, Optimisation, Study

STUDY = Study(
    name="ranks",
    grid=Grid(shape=(16, 16, 16), voxel_mm=14.0),
    geometry=Geometry(detector_shape=(16, 16), pixel_mm=24.0),
    networks=Networks(
        generator=GeneratorSettings(width_2d=4, width_3d=4, stages_3d=1, consistency_steps=1),
        discriminator=DiscriminatorSettings(width=4),
    ),
    # Voxels of equal weight: a mean over the batch is then the mean of its shares' means.
    optimisation=Optimisation(
        steps_per_round=2, batch_size=2, adversarial_from_step=0, body_weight=0.0, bone_weight=0.0
    ),
)


def cases() -> list[Case]:
    rng = np.random.default_rng(5)
    volumes = rng.integers(-1000, 1500, (4, *STUDY.grid.shape)).astype(np.int16)
    pairs = rng.uniform(0, 4, (4, 2, *STUDY.geometry.detector_shape)).astype(np.float32)
    return [Case(f"case{n}", volumes[n], pairs[n], None) for n in range(4)]


def gradients(ranks: Ranks | None) -> dict[str, torch.Tensor]:
    """Of both networks after one step."""
    players = Players(STUDY, torch.device("cpu"), ranks)
    assert players.step(next(iter(Samples(STUDY, cases(), 1))), 0) is not None
    assert players.discriminator is not None
    networks = {"generator": players.generator, "discriminator": players.discriminator}
    return {f"{n}/{p}": t.grad.contiguous() for n, net in networks.items() for p, t in net.named_parameters()}


def run(folder: Path, rank: int, count: int) -> None:
    torch.set_num_threads(1)
    with Ranks.joined(rank, count, torch.device("cpu"), folder / "rendezvous") as ranks:
        assert not ranks.all_agree(rank == 0)
        assert ranks.have_equal({"weight": torch.ones(2)})
        assert not ranks.have_equal({"weight": torch.full((2,), float(rank))})
        write_tensors(folder / f"gradients-{rank}.safetensors", gradients(ranks))
        trainer = LocalTrainer(STUDY, cases(), folder / "state", torch.device("cpu"), ranks)
        generator, discriminator = weights_of(build_generator(STUDY)), weights_of(build_discriminator(STUDY))
        for number in (1, 2):
            outcome = trainer.train_round(number, generator, discriminator)
            generator, discriminator = outcome.generator, outcome.discriminator
        write_tensors(folder / f"trained-{rank}.safetensors", generator)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
