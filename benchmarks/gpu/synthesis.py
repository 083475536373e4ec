"""One synthetic CT at 128³: seconds, with and without its uncertainty."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.studies import procedural_case, shipped
from client.synthesis import Synthesiser, synthesize, synthesize_with_sd, write_synthetic_ct
from common.exchange import weights_of
from common.networks import build_generator

PROTOCOL = (
    "configs/cranial-drr-128.toml, weights of a first round, 20 consistency steps. The first call builds the network "
    "and the projector's weights; a later one through the same Synthesiser does not. Uncertainty: variance = true."
)
VARIANCE = {"variance": True}


def measure(card: Card, *, tiny: bool) -> Outcome:
    """First calls, later calls, and writing the series."""
    repeats = 2 if tiny else 10
    figures: dict[str, float] = {}
    for name, options in (("volume", {}), ("volume and uncertainty", VARIANCE)):
        study = shipped(tiny=tiny, generator=options, likelihood_weight=0.02 if options else 0.0)
        case, weights = procedural_case(study), weights_of(build_generator(study))
        call = synthesize_with_sd if options else synthesize
        started = time.perf_counter()
        call(study, weights, case.integrals, card.device)
        figures[f"{name}, first call, s"] = time.perf_counter() - started
        alone = partial(call, study, weights, case.integrals, card.device)
        figures[f"{name}, a call alone, s"] = card.median_ms(alone, 3, 1) / 1e3
        synthesiser = Synthesiser(study, card.device)
        synthesiser.load(weights)
        pair = torch.from_numpy(case.integrals)[None]
        card.forget_peak()
        ready = partial(synthesiser.volumes_with_sd_hu, pair)
        figures[f"{name}, ready, s"] = card.median_ms(ready, repeats) / 1e3
        figures[f"{name}, peak bytes"] = card.peak_bytes()
    with tempfile.TemporaryDirectory(prefix="tomoray-gpu-") as folder:
        volume = synthesize(study, weights, case.integrals, card.device)
        started = time.perf_counter()
        write_synthetic_ct(Path(folder) / "series", volume, study.grid, "benchmark")
        figures["written as DICOM, s"] = time.perf_counter() - started
    return Outcome(PROTOCOL, figures)
