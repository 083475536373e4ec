"""One of a site's processes on a card: ``python -m benchmarks.gpu.rank_process FOLDER RANK COUNT DEVICE SIZE``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpu.studies import procedural_case, shipped
from client.learning import LocalTrainer, RankLost, Ranks, StepProgress
from common.exchange import weights_of, weights_sha256
from common.networks import build_discriminator, build_generator

STEPS = 6


def run(folder: Path, rank: int, count: int, device: torch.device, *, tiny: bool) -> dict[str, object]:
    """Meet the others, train two rounds with them, and say what came of it.

    A file ``step-RANK`` grows with every step, so that whoever watches knows when to hurt whom.
    """
    study = shipped(tiny=tiny, steps_per_round=STEPS, batch_size=2, mixed_precision=True)
    cases = [procedural_case(study, number) for number in (1, 2)]
    generator, discriminator = weights_of(build_generator(study)), weights_of(build_discriminator(study))
    said: dict[str, object] = {"rank": rank}

    def say(progress: StepProgress) -> None:
        (folder / f"step-{rank}").write_text(str(progress.step), encoding="ascii")

    started = time.perf_counter()
    lost = started
    try:
        with Ranks.joined(rank, count, device, folder / "rendezvous", answer_seconds=30.0) as ranks:
            said["meeting_s"] = time.perf_counter() - started
            trainer = LocalTrainer(study, cases, folder / "state", device, ranks)
            for number in (1, 2):
                lost = time.perf_counter()
                outcome = trainer.train_round(number, generator, discriminator, say)
                said[f"round_{number}_s"] = outcome.seconds
                generator, discriminator = dict(outcome.generator), dict(outcome.discriminator or {})
            said["equal"] = ranks.have_equal(generator)
            said["sha256"] = weights_sha256(generator)
            ending = time.perf_counter()
        said["ending_s"] = time.perf_counter() - ending
    except RankLost as error:
        said["lost"] = str(error)[:300]
        said["lost_after_s"] = time.perf_counter() - lost
    return said


if __name__ == "__main__":
    place, own, all_of_them, kind, size = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(run(Path(place), int(own), int(all_of_them), torch.device(kind), tiny=size == "tiny")))
