"""The two players of one local step: what each minimises and how each moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn, optim
from torch.nn.utils import clip_grad_norm_

from client.learning.samples import Batch
from client.learning.schedule import Schedule
from common.networks import Generator, ProjectorConsistency, build_discriminator, build_generator
from common.objective import (
    all_finite,
    discriminator_loss,
    generator_adversarial_loss,
    reconstruction_loss,
    reprojection_loss,
)
from common.study import Study

BETAS_GENERATOR = (0.9, 0.99)
BETAS_DISCRIMINATOR = (0.5, 0.99)
WEIGHT_DECAY = 1e-4


@final
@dataclass(frozen=True)
class StepLosses:
    """Losses of one step; ``generator`` is the weighted sum that was minimised. None: the game was not played."""

    generator: float
    reconstruction: float
    reprojection: float
    adversarial: float | None
    discriminator: float | None


@final
class Adversary:
    """Generator and discriminator of a study with their optimisers.

    Args:
        study: networks, losses and rates.
        device: where they run.
    """

    def __init__(self, study: Study, device: torch.device) -> None:
        self.study = study
        self.device = device
        self.generator: Generator = build_generator(study).to(device)
        rates = study.optimisation
        self.optimiser_g = optim.AdamW(
            self.generator.parameters(), lr=rates.lr_generator, betas=BETAS_GENERATOR, weight_decay=WEIGHT_DECAY
        )
        self.discriminator: nn.Module | None = None
        self.optimiser_d: optim.Optimizer | None = None
        if rates.adversarial_weight > 0:
            self.discriminator = build_discriminator(study).to(device)
            self.optimiser_d = optim.Adam(
                self.discriminator.parameters(), lr=rates.lr_discriminator, betas=BETAS_DISCRIMINATOR
            )
        water = study.radiograph.water_mu_per_mm
        self._projection = ProjectorConsistency(study.grid, study.geometry, study.window, water, steps=0).to(device)
        self._schedule = Schedule.of(study)

    def step(self, batch: Batch, global_step: int) -> StepLosses | None:
        """One step of G and, once the adversarial term has begun, one of D.

        Args:
            batch: cases of the step.
            global_step: steps this site took in the run before this one.

        Returns:
            The losses, or None if a loss or gradient was not finite; the network concerned has not moved then.
        """
        options, scale = self.study.optimisation, self.study.radiograph.integral_scale
        target, integrals = batch.target.to(self.device), batch.integrals.to(self.device)
        radiographs = integrals / scale
        discriminator = self.discriminator if global_step >= options.adversarial_from_step else None
        predicted = self.generator(radiographs)
        reconstruction = reconstruction_loss(predicted, target, self.study.window, options)
        reprojection = reprojection_loss(self._projection.project(predicted), integrals, scale)
        fooling: Tensor | None = None
        judging: Tensor | None = None
        if discriminator is not None:
            discriminator.requires_grad_(False)
            fooling = generator_adversarial_loss(discriminator(predicted, radiographs))
            discriminator.requires_grad_(True)
        total = reconstruction + options.reprojection_weight * reprojection
        if fooling is not None:
            total = total + options.adversarial_weight * fooling
        rate = options.lr_generator * self._schedule.factor(global_step)
        if not self._move(self.generator, self.optimiser_g, total, rate):
            return None
        if discriminator is not None and self.optimiser_d is not None:
            judging = self._judging(discriminator, target, predicted.detach(), radiographs)
            rate = options.lr_discriminator * self._schedule.decay(global_step)
            if not self._move(discriminator, self.optimiser_d, judging, rate):
                return None
        return StepLosses(
            generator=float(total.detach()),
            reconstruction=float(reconstruction.detach()),
            reprojection=float(reprojection.detach()),
            adversarial=None if fooling is None else float(fooling.detach()),
            discriminator=None if judging is None else float(judging.detach()),
        )

    @staticmethod
    def _judging(discriminator: nn.Module, real: Tensor, generated: Tensor, radiographs: Tensor) -> Tensor:
        scores = discriminator(torch.cat([real, generated]), torch.cat([radiographs, radiographs]))
        return discriminator_loss(scores[: len(real)], scores[len(real) :])

    def _move(self, network: nn.Module, optimiser: optim.Optimizer, loss: Tensor, rate: float) -> bool:
        """One descent step at a rate; false, and nothing moved, if the loss or its gradient is not finite."""
        optimiser.zero_grad(set_to_none=True)
        if not all_finite(loss):
            return False
        torch.autograd.backward(loss)
        norm = clip_grad_norm_(network.parameters(), self.study.optimisation.gradient_clip)
        if not all_finite(norm):
            return False
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        return True
