"""Ten minutes of training at 128³ on three real heads, the fourth held out, beside ridge regression + consistency."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu import heads
from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.ridge import Examples, ridge_consistent
from benchmarks.gpu.studies import procedural_case, shipped
from benchmarks.measure import Goal
from benchmarks.quality.cohort import COHORT
from benchmarks.quality.heads import PERSONS
from benchmarks.quality.pictures import write_page
from client.case import Case, add_noise
from client.learning import LocalTrainer, TrainOutcome, Widener
from client.synthesis import Synthesiser
from common.exchange import Weights, weights_of
from common.metrics import case_metrics
from common.networks import build_discriminator, build_generator
from common.objective import to_window
from common.study import Study

PROTOCOL = (
    "configs/cranial-drr-128.toml, bfloat16, one person of four real heads held out; the others widened afresh for "
    "every sample, strengths of benchmarks.quality. Discriminator from 0.3 of the steps on. Ridge regression on "
    "{count} widenings of the same heads. Measured on radiographs from the CT as it was scanned, with photon noise, "
    "window -1000..1500 HU."
)
TRIAL_STEPS = 20
JOINS_AT = 0.3
EXAMPLES = 64


def measure(card: Card, *, tiny: bool, folder: Path | None, person: str, seconds: float, results: Path) -> Outcome:
    """Train, predict, compare; pictures go beside the results. Procedural heads where there is no ``folder``."""
    study = _study(tiny=tiny, steps=TRIAL_STEPS)
    if folder is None:
        cases, truth = [procedural_case(study, number) for number in (1, 2, 3)], procedural_case(study, 4)
    else:
        cases = [heads.read(folder, other) for other in PERSONS if other != person]
        truth = heads.read(folder, person)
    noise = torch.Generator().manual_seed(1000 + int(person))
    integrals = add_noise(torch.from_numpy(truth.integrals)[None], study.radiograph.photons, noise).to(card.device)
    trained_study, weights, training = train(study, cases, card, seconds, tiny=tiny)
    synthesiser = Synthesiser(trained_study, card.device)
    synthesiser.load(weights)
    started = time.perf_counter()
    before, after, penalty = ridge_consistent(study, examples(study, cases, card, 2 if tiny else EXAMPLES), integrals)
    predicted = {
        "lifting GAN + consistency": synthesiser.volumes_hu(integrals),
        "ridge": before.cpu(),
        "ridge + consistency": after.cpu(),
    }
    training |= {"ridge_s": time.perf_counter() - started, "ridge_penalty": penalty, "person": person}
    truth_hu = torch.from_numpy(truth.volume_hu).float()
    figures = {
        name: asdict(case_metrics(truth_hu, volume[0], study.window, study.grid.voxel_mm))
        for name, volume in predicted.items()
    }
    pages = {"truth": truth_hu} | {name: volume[0] for name, volume in predicted.items()}
    results.mkdir(parents=True, exist_ok=True)
    write_page(f"Head {person}, never trained on, 128³", pages, results / f"gpu-head-{person}.png")
    ours, theirs = (figures[name]["psnr_db"] for name in ("lifting GAN + consistency", "ridge + consistency"))
    goal = Goal("PSNR over ridge + consistency", f"{ours - theirs:+.2f} dB (goal above 0)", ours > theirs)
    protocol = PROTOCOL.format(count=len(cases) * EXAMPLES)
    if folder is None:
        protocol = f"Four procedural heads stand in for the real ones. {protocol}"
    return Outcome(protocol, {"training": training, "metrics": figures}, [goal])


def train(
    study: Study, cases: Sequence[Case], card: Card, seconds: float, *, tiny: bool
) -> tuple[Study, Weights, dict[str, Any]]:
    """As many steps as fit into the seconds, by trial steps that do not count."""
    taken: list[float] = []
    _round(study, cases, card, taken)
    step_s = (taken[-1] - taken[TRIAL_STEPS // 2]) / (TRIAL_STEPS - 1 - TRIAL_STEPS // 2)
    steps = max(4, int(seconds / step_s))
    study = _study(tiny=tiny, steps=steps)
    card.forget_peak()
    started = time.perf_counter()
    outcome = _round(study, cases, card, [])
    figures = {
        "steps": steps,
        "seconds": time.perf_counter() - started,
        "peak_bytes": card.peak_bytes(),
        "losses": outcome.losses.model_dump(),
        "skipped_steps": outcome.skipped_steps,
    }
    return study, outcome.generator, figures


def examples(study: Study, cases: Sequence[Case], card: Card, count: int) -> Examples:
    """Widenings of every case with noise-free radiographs of their own."""
    widener, random = Widener(study, card.device), torch.Generator().manual_seed(7)
    images: list[Tensor] = []
    volumes: list[Tensor] = []
    persons: list[str] = []
    for case in cases:
        head = torch.from_numpy(case.volume_hu).float()[None, None]
        for _ in range(count):
            hu, clean = widener.widened(head, widener.draw(1, random))
            images.append(clean[0])
            volumes.append(to_window(hu[0, 0], study.window))
            persons.append(case.pseudonym)
    return Examples(torch.stack(images), torch.stack(volumes), persons)


def _study(*, tiny: bool, steps: int) -> Study:
    study = shipped(
        tiny=tiny,
        mixed_precision=True,
        steps_per_round=steps,
        warmup_steps=min(400, steps // 5),
        adversarial_from_step=round(JOINS_AT * steps) if steps != TRIAL_STEPS else 0,
    )
    federation = study.federation.model_copy(update={"rounds": 1})
    return study.model_copy(update={"widening": COHORT, "federation": federation})


def _round(study: Study, cases: Sequence[Case], card: Card, ends: list[float]) -> TrainOutcome:
    with tempfile.TemporaryDirectory(prefix="tomoray-gpu-") as folder:
        trainer = LocalTrainer(study, cases, Path(folder), card.device)
        first = weights_of(build_generator(study)), weights_of(build_discriminator(study))
        return trainer.train_round(1, *first, on_step=lambda _: ends.append(time.perf_counter()))
