"""The sections of a study that say what is trained and how: networks and local optimisation."""

from __future__ import annotations

from typing import Annotated, Literal, Self, final

from pydantic import Field, FiniteFloat, model_validator

from common.sections import Count, Fraction, NonNegative, Positive, Section


@final
class LiftingWidths(Section):
    """How large a lifting generator is.

    Attributes:
        width_2d: channels of the radiograph encoder's first stage.
        width_3d: channels of the volume network's first stage.
        stages_3d: resolution stages of the volume network.
    """

    width_2d: Count
    width_3d: Count
    stages_3d: Annotated[int, Field(ge=1, le=5)]


# Water, brain and muscle lie within 50 HU of it; fat and marrow are mixtures with its neighbours.
SOFT_TISSUE_HU = 35.0

LIFTING_SIZES = {
    "small": LiftingWidths(width_2d=16, width_3d=16, stages_3d=3),
    "base": LiftingWidths(width_2d=16, width_3d=32, stages_3d=4),
    "large": LiftingWidths(width_2d=32, width_3d=48, stages_3d=4),
}


@final
class GeneratorSettings(Section):
    """The generator by name, its size, and projector consistency at its output.

    Attributes:
        name: registered generator. ``x2ct`` has one size and takes no widths.
        size: size of the lifting generator: :data:`LIFTING_SIZES`.
        width_2d, width_3d, stages_3d: where given, they win over the size; see :class:`LiftingWidths`.
        consistency_steps: unrolled projector-consistency steps at the output in training; 0 switches them off.
        inference_consistency_steps: steps outside training; where not given, as many as in training.
        tissues_hu: the output is a mixture of tissues at these HU and at the window's two ends, so that it comes to
            rest there; see :class:`common.networks.tissues.TissueMixture`. With none of them it is a sigmoid over the
            window. Where not given, soft tissue for ``lifting``, none for ``x2ct``.
        consistency_weight: what says, voxel by voxel, how far consistency may move the prediction: the variance of the
            mixture of ``tissues``, a map ``learned`` through the unrolled steps alone, the network's own predicted
            ``variance``, which the likelihood trains, or ``uniform``. Where not given, ``tissues`` if there are any,
            otherwise ``learned``.
        variance: whether the network predicts each voxel's variance, the reader's uncertainty; needs a
            ``likelihood_weight``.
        consistency_affine: whether each view's measured integrals are first fitted to the projection by a gain and an
            offset near identity, so that errors of exposure, energy and scatter move the volume less.
    """

    name: Literal["lifting", "x2ct"] = "lifting"
    size: Literal["small", "base", "large"] = "small"
    width_2d: Count | None = None
    width_3d: Count | None = None
    stages_3d: Annotated[int, Field(ge=1, le=5)] | None = None
    consistency_steps: Annotated[int, Field(ge=0, le=50)] = 8
    inference_consistency_steps: Annotated[int, Field(ge=0, le=200)] | None = None
    tissues_hu: tuple[FiniteFloat, ...] | None = None
    consistency_weight: Literal["tissues", "learned", "variance", "uniform"] | None = None
    variance: bool = False
    consistency_affine: bool = False

    @property
    def widths(self) -> LiftingWidths:
        """Widths of the lifting generator."""
        size = LIFTING_SIZES[self.size]
        return LiftingWidths(
            width_2d=self.width_2d or size.width_2d,
            width_3d=self.width_3d or size.width_3d,
            stages_3d=self.stages_3d or size.stages_3d,
        )

    @property
    def tissues(self) -> tuple[float, ...]:
        """HU of the tissues between the window's ends."""
        if self.tissues_hu is None:
            return (SOFT_TISSUE_HU,) if self.name == "lifting" else ()
        return self.tissues_hu

    @property
    def weight(self) -> Literal["tissues", "learned", "variance", "uniform"]:
        """What says how far consistency may move each voxel."""
        return self.consistency_weight or ("tissues" if self.tissues else "learned")

    @property
    def steps_outside_training(self) -> int:
        """Consistency steps in evaluation and synthesis."""
        given = self.inference_consistency_steps
        return self.consistency_steps if given is None else given

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.name == "x2ct" and (self.width_2d, self.width_3d, self.stages_3d) != (None, None, None):
            raise ValueError("x2ct has one size: leave width_2d, width_3d and stages_3d out")
        if list(self.tissues) != sorted(set(self.tissues)):
            raise ValueError("tissues_hu must ascend")
        if self.weight == "tissues" and not self.tissues:
            raise ValueError('consistency_weight = "tissues" needs tissues_hu')
        if self.consistency_weight == "variance" and not self.variance:
            raise ValueError('consistency_weight = "variance" needs variance = true')
        if self.weight == "learned" and self.steps_outside_training and not self.consistency_steps:
            raise ValueError('a consistency_weight "learned" needs consistency_steps in training')
        return self


@final
class DiscriminatorSettings(Section):
    """The discriminator by name.

    Attributes:
        name: registered discriminator.
        width: channels of the first layer; each further layer has twice as many.
        layers: halvings of the volume.
        spectral_norm: whether every convolution's weight is divided by its largest singular value.
        federated: false keeps it at the site.
    """

    name: Literal["patch"] = "patch"
    width: Count = 16
    layers: Annotated[int, Field(ge=1, le=5)] = 2
    spectral_norm: bool = False
    federated: bool = True


@final
class Networks(Section):
    """The two networks of the GAN."""

    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()


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
