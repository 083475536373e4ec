"""A few steps of one network in a process of its own, whose peak memory is then that network's."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from client.case import Case, CaseFacts, drr_pair
from client.learning.players import Players
from client.learning.samples import Samples
from client.phantom import procedural_head
from common.processes import return_freed_blocks
from common.study import Study, Widening

CONFIGURATION = Path(__file__).parents[2] / "configs" / "cranial-drr-128.toml"
LIFTING, X2CT = "lifting", "x2ct"
WIDENING = Widening(
    flip=0.5,
    displacement_mm=3.0,
    scale=0.07,
    rotation_deg=4.0,
    shift_mm=4.0,
    ventricles=0.3,
    skull_mm=1.5,
    bone=0.15,
    brain_hu=2.0,
    lesions=0.2,
    coverage=0.3,
    kernel=0.3,
    noise_hu=3.0,
    pose_deg=1.0,
    pose_mm=2.0,
    distance_mm=10.0,
)
FACTS = CaseFacts.model_validate(
    dict.fromkeys(CaseFacts.model_fields, 0.0) | {"manufacturer": "other", "kvp": None, "slices": 1}
)


def step_study(network: str) -> Study:
    """The shipped study at 128³ with both players in the game from the first step, batches of one, all widening on."""
    study = Study.from_toml(CONFIGURATION)
    document: dict[str, Any] = study.model_dump(mode="json")
    if network == X2CT:
        document["networks"]["generator"] = {"name": X2CT, "consistency_steps": 0}
        document["optimisation"] |= {"l1_weight": 0.0, "mse_weight": 10.0, "axis_projection_weight": 10.0}
        document["optimisation"] |= {"reprojection_weight": 0.0, "adversarial_weight": 0.1}
    document["optimisation"] |= {"batch_size": 1, "adversarial_from_step": 0}
    document["widening"] = WIDENING.model_dump()
    return Study.model_validate(document)


def measure(network: str, steps: int, threads: int) -> dict[str, Any]:
    """Wall and processor seconds of each step and of each sample, and the process's peak memory.

    Args:
        network: ``lifting`` or ``x2ct``.
        steps: counted steps; one more comes first and does not count.
        threads: of PyTorch.
    """
    torch.set_num_threads(threads)
    return_freed_blocks()
    study = step_study(network)
    players, samples = Players(study, torch.device("cpu")), iter(Samples(study, [_case(study)], 1))
    found: dict[str, list[float]] = {"sample_s": [], "sample_cpu_s": [], "step_s": [], "step_cpu_s": []}
    for number in range(steps + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        batch = next(samples)
        drawn_wall, drawn_cpu = time.perf_counter(), time.process_time()
        losses = players.step(batch, number)
        if losses is None:
            raise RuntimeError(f"{network}: the loss is not finite")
        if number:
            found["sample_s"].append(drawn_wall - wall)
            found["sample_cpu_s"].append(drawn_cpu - cpu)
            found["step_s"].append(time.perf_counter() - drawn_wall)
            found["step_cpu_s"].append(time.process_time() - drawn_cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    parameters = sum(parameter.numel() for parameter in players.generator.parameters())
    return {**found, "peak_bytes": peak, "parameters": parameters}


def _case(study: Study) -> Case:
    volume = procedural_head(1, study.grid)
    integrals = drr_pair(volume.astype("float32"), study.grid.voxel_mm, study.geometry, study.radiograph)
    return Case("step", volume, integrals, FACTS)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
