"""The section of a study that says which networks are trained, and how large they are."""

from __future__ import annotations

from typing import Annotated, Literal, Self, final

from pydantic import Field, FiniteFloat, model_validator

from common.study.section import Count, Section, later


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
        anatomy: what soft tissue is: an even grey (``none``), or an atlas that is bent to the skull, ``fixed`` or
            ``learned``; see :class:`common.networks.brain_atlas.BentAtlas`. For ``lifting`` with ``tissues_hu`` alone.
            What a site learns of an atlas tells its patients' mean brain: see the documentation of training.
        inference_looks: how often a pair is looked at outside training, the head moved by a voxel each time: once, 7
            times (along the axes) or 27 times (along all of them at once too). Consistency follows the mean.
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
    anatomy: Literal["none", "fixed", "learned"] = later("none")
    inference_looks: Literal[1, 7, 27] = later(1)

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
        if self.anatomy != "none" and (self.name != "lifting" or not self.tissues):
            raise ValueError('anatomy needs name = "lifting" and tissues_hu')
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
        brain_window: whether it also sees the volume in a window of 0..80 HU, in which brains differ.
    """

    name: Literal["patch"] = "patch"
    width: Count = 16
    layers: Annotated[int, Field(ge=1, le=5)] = 2
    spectral_norm: bool = False
    federated: bool = True
    brain_window: bool = later(False)


@final
class Networks(Section):
    """The two networks of the GAN."""

    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
