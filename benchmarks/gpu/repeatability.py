"""Whether training repeats to the bit, and which operations do not."""

from __future__ import annotations

import contextlib
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.studies import procedural_case, shipped
from client.learning import LocalTrainer
from common.exchange import weights_of, weights_sha256
from common.networks import build_discriminator, build_generator
from common.study import Study

STEPS = 5
_NAMED = re.compile(r"^(\S+) does not have a deterministic implementation")


def repeatability(device: torch.device, *, tiny: bool) -> dict[str, Any]:
    """Rounds of a few steps, each trained twice: bits compared as the library comes and with deterministic algorithms.

    Returns:
        By precision and widening whether both ends are equal, the operations that PyTorch names, and a sentence.
    """
    rounds: dict[str, dict[str, bool]] = {}
    named: set[str] = set()
    for precision in ("float32", "bfloat16"):
        for widened in (False, True):
            study = shipped(tiny=tiny, widened=widened, steps_per_round=STEPS, mixed_precision=precision == "bfloat16")
            plain = trained_sha256(study, device) == trained_sha256(study, device)
            with deterministic(named):
                strict = trained_sha256(study, device) == trained_sha256(study, device)
            rounds[f"{precision}{', widened' if widened else ''}"] = {"as it comes": plain, "deterministic": strict}
    same = all(found["as it comes"] for found in rounds.values())
    strict = all(found["deterministic"] for found in rounds.values())
    asked = "same bits when asked for" if strict else "not even when asked for"
    said = "same bits" if same else f"{asked}; PyTorch names {', '.join(sorted(named)) or 'nothing'}"
    return {"rounds": rounds, "operations_named": sorted(named), "same_bits": same, "said": said, "steps": STEPS}


def trained_sha256(study: Study, device: torch.device) -> str:
    """A round of the study from its first weights: the hash of the generator after it."""
    with tempfile.TemporaryDirectory(prefix="tomoray-gpu-") as folder:
        trainer = LocalTrainer(study, [procedural_case(study, number) for number in (1, 2)], Path(folder), device)
        first = weights_of(build_generator(study)), weights_of(build_discriminator(study))
        return weights_sha256(trainer.train_round(1, *first).generator)


@contextlib.contextmanager
def deterministic(named: set[str]) -> Iterator[None]:
    """PyTorch's deterministic algorithms, where there are any; ``named`` takes the operations that have none."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        named |= {found[1] for one in caught if (found := _NAMED.match(str(one.message)))}
    finally:
        torch.use_deterministic_algorithms(before)
