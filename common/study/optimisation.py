"""The section of a study that says how a site trains."""

from __future__ import annotations

from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from common.study.section import Count, Fraction, NonNegative, Positive, Section, later


@final
class Optimisation(Section):
    """Local training at each site.

    Attributes:
        steps_per_round: generator steps at each site in each round.
        batch_size: cases per step.
        optimiser: what moves G. ``muon`` orthogonalises the momentum of every matrix, moves the rest as AdamW does, and
            needs far fewer steps. D is moved by Adam either way.
        lr_generator: peak learning rate of G.
        lr_discriminator: learning rate of D, at most G's.
        warmup_steps: linear warm-up of G's rate.
        gradient_clip: maximum global gradient norm.
        l1_weight, mse_weight: reconstruction terms on windowed volumes.
        body_weight, bone_weight: extra voxel weight inside the body and in bone (> 300 HU).
        brain_weight: extra voxel weight where the target lies in 0..80 HU inside the skull.
        brain_window_weight: squared error of soft tissue inside the skull before consistency, in units of 40 HU. What
            L1 over the whole window hardly sees, and whose median is an even grey, has its mean learned here; with
            ``anatomy`` by the atlas alone.
        brain_contrast_weight: squared lack of contrast there: of the slope of prediction on truth below 1.
        axis_projection_weight: L1 between the means of output and target along each axis.
        reprojection_weight: L1 between the output's and the input's line integrals.
        raw_weight: the reconstruction terms once more, on the prediction before consistency, so that it stays a head
            and its doubt means something.
        likelihood: distribution that the predicted variance belongs to.
        likelihood_weight: negative log-likelihood of the target under raw prediction and variance.
        adversarial_loss: least-squares GAN or hinge.
        adversarial_weight: adversarial term on G; 0 trains without a discriminator.
        adversarial_from_step: first global step with the adversarial term.
        adversarial_ramp_steps: steps over which its weight then grows linearly to the full one.
        feature_matching_weight: L1 between the discriminator's features of output and target, where the adversarial
            term is on.
        proximal_weight: FedProx's mu: pulls G towards the round's broadcast.
        ema_decay: decay per step of the running average of G that is evaluated and released; 0 switches it off. Sites
            send what they trained, and the coordinator averages over the rounds: see :mod:`common.averaging`.
        mixed_precision: bfloat16 for the networks where the device is fast at it; see :mod:`client.learning.precision`.
        max_bad_steps: non-finite losses tolerated in a round before the site stops.
        seed: seed of initial weights and of every site's sampling.
    """

    steps_per_round: Count = 40
    batch_size: Count = 2
    optimiser: Literal["adamw", "muon"] = "muon"
    lr_generator: Positive = 2e-3
    lr_discriminator: Positive = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 40
    gradient_clip: Positive = 1.0
    l1_weight: NonNegative = 1.0
    mse_weight: NonNegative = 8.0
    body_weight: NonNegative = 1.0
    bone_weight: NonNegative = 0.5
    brain_weight: NonNegative = 0.0
    brain_window_weight: NonNegative = later(0.0)
    brain_contrast_weight: NonNegative = later(0.0)
    axis_projection_weight: NonNegative = 0.0
    reprojection_weight: NonNegative = 0.1
    raw_weight: NonNegative = 1.0
    likelihood: Literal["gaussian", "laplace"] = "laplace"
    likelihood_weight: NonNegative = 0.0
    adversarial_loss: Literal["least_squares", "hinge"] = "least_squares"
    adversarial_weight: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.002
    adversarial_from_step: Annotated[int, Field(ge=0)] = 100
    adversarial_ramp_steps: Annotated[int, Field(ge=0)] = 0
    feature_matching_weight: NonNegative = 0.0
    proximal_weight: NonNegative = 0.0
    ema_decay: Fraction = 0.0
    mixed_precision: bool = False
    max_bad_steps: Annotated[int, Field(ge=0)] = 3
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 2026

    @model_validator(mode="after")
    def _two_time_scales(self) -> Self:
        if self.lr_discriminator > self.lr_generator:
            raise ValueError("lr_discriminator must not exceed lr_generator")
        return self

    @model_validator(mode="after")
    def _features_need_their_discriminator(self) -> Self:
        if self.feature_matching_weight > 0 and self.adversarial_weight == 0:
            raise ValueError("feature_matching_weight needs an adversarial_weight")
        return self
