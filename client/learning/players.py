"""The two players of one local step: what each minimises and how each moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn, optim
from torch.nn.utils import clip_grad_norm_

from client.learning.muon import Muon
from client.learning.precision import network_dtype
from client.learning.ranks import Ranks
from client.learning.samples import Batch
from client.learning.schedule import Schedule
from common.networks import (
    Discriminator,
    Generator,
    LiftingGenerator,
    Prediction,
    ProjectorConsistency,
    build_discriminator,
    build_generator,
    network_input,
)
from common.objective import (
    adversarial_weight,
    all_finite,
    axis_projection_loss,
    brain_losses,
    discriminator_loss,
    feature_matching_loss,
    generator_adversarial_loss,
    likelihood_loss,
    reconstruction_loss,
    reprojection_loss,
)
from common.study import Study

BETAS_GENERATOR = (0.9, 0.99)
BETAS_DISCRIMINATOR = (0.5, 0.99)
WEIGHT_DECAY = 1e-4
_STEPS_OF_A_SEED = 2**32
_GENERATOR_OPTIMISERS = {"adamw": optim.AdamW, "muon": Muon}


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
@dataclass(frozen=True)
class _Scene:
    """A batch on the device, with the radiographs as the networks see them."""

    target: Tensor
    radiographs: Tensor


@final
class Players:
    """Generator and discriminator of a study with their optimisers.

    Args:
        study: networks, losses and rates.
        device: where they run.
        ranks: the processes that share every batch, where there are several.
    """

    def __init__(self, study: Study, device: torch.device, ranks: Ranks | None = None) -> None:
        self.study = study
        self.device = device
        self._ranks = ranks
        self.generator: Generator = build_generator(study).to(device)
        rates = study.optimisation
        self.optimiser_g: optim.Optimizer = _GENERATOR_OPTIMISERS[rates.optimiser](
            self.generator.parameters(), lr=rates.lr_generator, betas=BETAS_GENERATOR, weight_decay=WEIGHT_DECAY
        )
        self.discriminator: Discriminator | None = None
        self.optimiser_d: optim.Optimizer | None = None
        if rates.adversarial_weight > 0:
            self.discriminator = build_discriminator(study).to(device)
            self.optimiser_d = optim.Adam(
                self.discriminator.parameters(), lr=rates.lr_discriminator, betas=BETAS_DISCRIMINATOR
            )
        water = study.radiograph.water_mu_per_mm
        self._projection = ProjectorConsistency(
            study.grid, study.geometry, study.window, water, steps=0, affine=study.sees_films
        ).to(device)
        self._schedule = Schedule.of(study)
        self._dtype = network_dtype(study, device)
        self._anchor: list[Tensor] = []

    def start_round(self) -> None:
        """Take the generator's present weights, the round's broadcast, as what FedProx pulls towards."""
        if self.study.optimisation.proximal_weight > 0:
            self._anchor = [parameter.detach().clone() for parameter in self.generator.parameters()]

    def step(self, batch: Batch, global_step: int) -> StepLosses | None:
        """One step of G and, once the adversarial term has begun, one of D.

        Args:
            batch: cases of the step; of several processes each steps on its share, and the losses are the share's.
            global_step: steps this site took in the run before this one.

        Returns:
            The losses, or None if a loss or gradient was not finite; the network concerned has not moved then.
        """
        options, scale = self.study.optimisation, self.study.radiograph.integral_scale
        batch = batch if self._ranks is None else self._ranks.share(batch)
        integrals = batch.integrals.to(self.device)
        exposed = None if batch.exposed is None else batch.exposed.to(self.device)
        scene = _Scene(batch.target.to(self.device), network_input(integrals, exposed, scale))
        playing = adversarial_weight(options, global_step)
        discriminator = self.discriminator if playing > 0 else None
        with self._chance(global_step), self._autocast():
            prediction = self.generator.predict(scene.radiographs)
        reconstruction = reconstruction_loss(prediction.volume, scene.target, self.study.window, options)
        missed = self._projection.residual(self._projection.project(prediction.volume), integrals, exposed)
        reprojection = reprojection_loss(missed, scale, exposed)
        total = reconstruction + options.reprojection_weight * reprojection
        total = total + self._further_terms(prediction, scene.target)
        fooling: Tensor | None = None
        judging: Tensor | None = None
        if discriminator is not None:
            fooling, matching = self._fooling(discriminator, prediction.volume, scene)
            total = total + playing * fooling + options.feature_matching_weight * matching
        rate = options.lr_generator * self._schedule.factor(global_step)
        if not self._move(self.generator, self.optimiser_g, total, rate, self._anchor):
            return None
        if discriminator is not None and self.optimiser_d is not None:
            judging = self._judging(discriminator, prediction.volume.detach(), scene)
            rate = options.lr_discriminator * self._schedule.decay(global_step)
            if not self._move(discriminator, self.optimiser_d, judging, rate, []):
                return None
        return StepLosses(
            generator=float(total.detach()),
            reconstruction=float(reconstruction.detach()),
            reprojection=float(reprojection.detach()),
            adversarial=None if fooling is None else float(fooling.detach()),
            discriminator=None if judging is None else float(judging.detach()),
        )

    @contextmanager
    def _chance(self, global_step: int) -> Iterator[None]:
        """What a network draws by chance follows from the step alone, so that a repeated round repeats exactly."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_STEPS_OF_A_SEED * self.study.optimisation.seed + global_step)
            yield

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not torch.float32)

    def _further_terms(self, prediction: Prediction, target: Tensor) -> Tensor:
        """The weighted terms that many studies leave out."""
        options = self.study.optimisation
        total = target.new_zeros(())
        if options.axis_projection_weight > 0:
            total = total + options.axis_projection_weight * axis_projection_loss(prediction.volume, target)
        if options.raw_weight > 0 and prediction.raw is not prediction.volume:
            total = total + options.raw_weight * reconstruction_loss(prediction.raw, target, self.study.window, options)
        if options.brain_window_weight > 0 or options.brain_contrast_weight > 0:
            shown = prediction.raw if prediction.soft is None else prediction.soft
            error, lack = brain_losses(shown, target, self.study.window)
            total = total + options.brain_window_weight * error + options.brain_contrast_weight * lack
        if prediction.log_variance is not None:
            surprise = likelihood_loss(prediction.raw, prediction.log_variance, target, options.likelihood)
            total = total + options.likelihood_weight * surprise
        return total

    def _fooling(self, discriminator: Discriminator, predicted: Tensor, scene: _Scene) -> tuple[Tensor, Tensor]:
        """G's adversarial and feature-matching losses; D's parameters get no gradient from them."""
        options = self.study.optimisation
        matching = predicted.new_zeros(())
        discriminator.requires_grad_(False)
        with self._autocast():
            generated = discriminator.judge(predicted, scene.radiographs)
            if options.feature_matching_weight > 0:
                real = discriminator.judge(scene.target, scene.radiographs)
                matching = feature_matching_loss(generated.features, real.features)
        discriminator.requires_grad_(True)
        return generator_adversarial_loss(generated.scores, options.adversarial_loss), matching

    def _judging(self, discriminator: Discriminator, generated: Tensor, scene: _Scene) -> Tensor:
        real, radiographs = scene.target, scene.radiographs
        with self._autocast():
            scores = discriminator(torch.cat([real, generated]), torch.cat([radiographs, radiographs]))
        return discriminator_loss(scores[: len(real)], scores[len(real) :], self.study.optimisation.adversarial_loss)

    def _move(
        self, network: nn.Module, optimiser: optim.Optimizer, loss: Tensor, rate: float, anchor: list[Tensor]
    ) -> bool:
        """One descent step at a rate; false, and nothing moved, if the loss or its gradient is not finite."""
        optimiser.zero_grad(set_to_none=True)
        finite = all_finite(loss)
        if not (finite if self._ranks is None else self._ranks.all_agree(finite)):
            return False
        torch.autograd.backward(loss)
        if self._ranks is not None:
            self._ranks.average_gradients(network)
        for parameter, start in zip(network.parameters(), anchor, strict=False):
            if parameter.grad is not None:
                # The gradient of FedProx's half mu |w - w0|^2 (Li et al., MLSys 2020).
                parameter.grad.add_(parameter.detach() - start, alpha=self.study.optimisation.proximal_weight)
        norms = [clip_grad_norm_(part, self.study.optimisation.gradient_clip) for part in _learned_apart(network)]
        if not all_finite(*norms):
            return False
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        return True


def _learned_apart(network: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters whose gradients have nothing to do with each other: a generator's atlas of the brain, and the rest.

    Clipped together, what a case lacks in the brain would say how far the skull moves.
    """
    atlas = network.anatomy if isinstance(network, LiftingGenerator) else None
    of_atlas = [] if atlas is None else list(atlas.parameters())
    known = {id(parameter) for parameter in of_atlas}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return [part for part in (rest, of_atlas) if part]
