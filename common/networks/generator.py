"""What every generator is: a radiograph pair in, a windowed volume out, with its uncertainty where the study asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.metrics import soft_tissue_within
from common.networks.consistency import ProjectorConsistency
from common.networks.moved_head import Move, MovedHead, moved_back
from common.networks.radiograph_input import parted
from common.networks.settled_brain import THIN_BONE_HU, SettledBrain
from common.networks.tissues import FLOOR_SD_HU, TissueMixture
from common.study import Study

# Bounds keep a likelihood finite: in a window of 2500 HU, standard deviations of 6 to 2500 HU, 125 HU at first.
LOG_VARIANCE_MIDDLE = -6.0
LOG_VARIANCE_REACH = 6.0
AIR_LOGIT = -1.5


@final
@dataclass(frozen=True)
class Prediction:
    """What a generator says of a batch of radiograph pairs, each (B, 1, z, y, x).

    Attributes:
        volume: windowed to 0..1, after projector consistency; outside training what is nearly soft inside the skull is
            soft tissue there, where that is no even grey.
        raw: windowed to 0..1, before projector consistency; the very tensor ``volume`` where no step is taken.
        log_variance: logarithm of the raw prediction's variance in windowed units; None where the study predicts none.
        soft: windowed to 0..1, what a voxel holds if it is soft tissue; None where that is an even grey.
    """

    volume: Tensor
    raw: Tensor
    log_variance: Tensor | None
    soft: Tensor | None = None

    @property
    def sd(self) -> Tensor | None:
        """Standard deviation in windowed units; times the window's width it is in HU."""
        return None if self.log_variance is None else torch.exp(0.5 * self.log_variance)


@final
@dataclass(frozen=True)
class Drawn:
    """What a network says of a batch, unbounded.

    Attributes:
        outputs: (B, outputs, z, y, x): the volume's logit or one logit a tissue, then the freedom to move where it is
            learned, then the variance where it is predicted.
        soft: (B, 1, z, y, x), how soft tissue differs from its middle, before bounds; None where it is an even grey.
    """

    outputs: Tensor
    soft: Tensor | None = None


@final
@dataclass(frozen=True)
class _Look:
    """What a network says of a batch before consistency, each (B, 1, z, y, x): as :class:`Prediction`, and how far
    consistency may move each voxel."""

    raw: Tensor
    freedom: Tensor
    log_variance: Tensor | None
    soft: Tensor | None

    def moved_back(self, move: Move) -> _Look:
        """The same of the head where it was."""
        optional = [None if part is None else moved_back(part, move) for part in (self.log_variance, self.soft)]
        return _Look(moved_back(self.raw, move), moved_back(self.freedom, move), *optional)


class Generator(nn.Module, ABC):
    """Turns radiograph pairs into volumes.

    Its parameters depend on the study alone and are all that travels. Grids, rays and projector weights are buffers
    that every site computes for itself. A generator in training mode takes the study's ``consistency_steps``, otherwise
    its ``inference_consistency_steps``.

    Args:
        study: grid, geometry, window, radiograph constants and the generator's settings.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        settings = study.networks.generator
        self.window = study.window
        self.integral_scale = study.radiograph.integral_scale
        self.masked = study.sees_films
        self.tissues = TissueMixture(settings.tissues, study.window) if settings.tissues else None
        contents = (AIR_LOGIT,) if self.tissues is None else self.tissues.first_logits
        self._contents = len(contents)
        # What is left of the integrals would be taken where it costs least, as holes in the brain that nobody has.
        self._brain_freedom = (FLOOR_SD_HU / study.window.width_hu) ** 2
        self._steps = (settings.consistency_steps, settings.steps_outside_training)
        self._weight = settings.weight
        self._variance = settings.variance
        self._learned = self._weight == "learned" and max(self._steps) > 0
        self.settled_brain = SettledBrain(study.grid)
        self._head = MovedHead(study.grid, study.geometry, settings.inference_looks)
        # Outputs a voxel, as their values before training.
        self.first_outputs = (*contents, *[0.0] * (self._learned + self._variance))
        self.consistency = _consistency(study) if max(self._steps) else None

    @property
    def outputs(self) -> int:
        """Channels of what :meth:`draw` returns."""
        return len(self.first_outputs)

    @abstractmethod
    def draw(self, radiographs: Tensor) -> Drawn:
        """Unbounded outputs.

        Args:
            radiographs: as :meth:`forward` takes them.

        Returns:
            What a batch holds, before anything bounds it.
        """

    def forward(self, radiographs: Tensor) -> Tensor:
        """Windowed volumes.

        Args:
            radiographs: as :func:`common.networks.network_input` makes them. A generator of a study that sees films
                takes those without a mask to be exposed everywhere.

        Returns:
            (B, 1, z, y, x) in 0 to 1: 0 is the study window's lower HU bound, 1 its upper.
        """
        return self.predict(radiographs).volume

    def predict(self, radiographs: Tensor) -> Prediction:
        """The volume beside what it was before consistency, and its variance; arguments as :meth:`forward`."""
        radiographs = self._with_mask(radiographs)
        look = self._look(radiographs) if self.training or len(self._head.moves) == 1 else self._mean_look(radiographs)
        volume = self._consistent(look, radiographs)
        if look.soft is not None and not self.training:
            volume = torch.where(self.settled_brain(self._hu(look.raw)), look.soft, volume)
        return Prediction(volume, look.raw, look.log_variance, look.soft)

    def _consistent(self, look: _Look, radiographs: Tensor) -> Tensor:
        """The volume after projector consistency; the raw one where no step is taken."""
        steps = self._steps[0] if self.training else self._steps[1]
        if self.consistency is None or not steps:
            return look.raw
        freedom = look.freedom
        if look.soft is not None:
            brain = soft_tissue_within(self._hu(look.raw), THIN_BONE_HU)
            freedom = torch.where(brain, self._brain_freedom, freedom)
        measured, exposed = parted(radiographs)
        measured = measured * self.integral_scale
        volume: Tensor = self.consistency(look.raw, freedom, measured, steps, exposed)
        if exposed is not None and not self.training:
            explained = self.consistency.explains(look.raw, measured, exposed)
            volume = torch.where(explained.view(-1, 1, 1, 1, 1), volume, look.raw)
        return volume

    def _hu(self, raw: Tensor) -> Tensor:
        return self.window.low_hu + raw.detach() * self.window.width_hu

    def _with_mask(self, radiographs: Tensor) -> Tensor:
        if self.masked and parted(radiographs)[1] is None:
            return torch.cat([radiographs, torch.ones_like(radiographs)], dim=1)
        return radiographs

    def _look(self, radiographs: Tensor) -> _Look:
        drawn = self.draw(radiographs)
        outputs = drawn.outputs
        # Half a bfloat16 step at 0.5 is 2.4 HU, and the projector would see it.
        outputs = outputs.float() if outputs.dtype is torch.bfloat16 else outputs
        soft = None if drawn.soft is None or self.tissues is None else self.tissues.soft(drawn.soft)
        raw, doubt = self._contents_of(outputs[:, : self._contents], soft)
        log_variance = _log_variance(outputs[:, -1:]) if self._variance else None
        return _Look(raw, self._freedom(outputs, doubt, log_variance), log_variance, soft)

    def _mean_look(self, radiographs: Tensor) -> _Look:
        """The mean of looks at the head moved and moved back; where they differ is doubt too."""
        looks = [self._look(self._head.radiographs(radiographs, move)).moved_back(move) for move in self._head.moves]
        raw = torch.stack([look.raw for look in looks]).mean(dim=0)
        spread = torch.stack([(look.raw - raw).square() for look in looks]).mean(dim=0)
        freedom = torch.stack([look.freedom for look in looks]).mean(dim=0)
        variances = [torch.exp(look.log_variance) for look in looks if look.log_variance is not None]
        softs = [look.soft for look in looks if look.soft is not None]
        return _Look(
            raw,
            freedom + spread if self._weight in ("tissues", "variance") else freedom,
            torch.log(torch.stack(variances).mean(dim=0) + spread) if variances else None,
            torch.stack(softs).mean(dim=0) if softs else None,
        )

    def _contents_of(self, logits: Tensor, soft: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The volume before consistency, and its variance where it is a mixture of tissues."""
        if self.tissues is None:
            return torch.sigmoid(logits), None
        mean, variance = self.tissues(logits, soft)
        return mean, variance

    def _freedom(self, outputs: Tensor, doubt: Tensor | None, log_variance: Tensor | None) -> Tensor:
        """How far consistency may move each voxel."""
        if doubt is not None and self._weight == "tissues":
            return doubt
        if self._learned:
            return functional.softplus(outputs[:, self._contents : self._contents + 1])
        if log_variance is not None and self._weight == "variance":
            # Only the likelihood trains the variance: a reader is to take it at its word.
            return torch.exp(log_variance).detach()
        return torch.ones_like(outputs[:, :1])


def _consistency(study: Study) -> ProjectorConsistency:
    settings, water = study.networks.generator, study.radiograph.water_mu_per_mm
    return ProjectorConsistency(
        study.grid,
        study.geometry,
        study.window,
        water,
        settings.consistency_steps,
        # What calibration leaves of a film's exposure, energy and scatter is mostly a gain and an offset.
        affine=settings.consistency_affine or study.sees_films,
    )


def _log_variance(output: Tensor) -> Tensor:
    """Smoothly bounded, with slope 1 where it starts."""
    return LOG_VARIANCE_MIDDLE + LOG_VARIANCE_REACH * torch.tanh(output / LOG_VARIANCE_REACH)
