"""The running average of the generator over one site's steps: what a site that trains alone evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, final

import torch
from torch import Tensor, nn

from common.averaging import moved_average

PREFIX = "generator_average/"


@final
class RunningAverage:
    """Follows a network's parameters from its first step on.

    Args:
        decay: per step.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._average: dict[str, Tensor] | None = None

    @classmethod
    def restored(cls, decay: float, kept: Mapping[str, Tensor], device: torch.device) -> Self:
        """An average as :meth:`kept` left it; a new one where nothing was kept."""
        average = cls(decay)
        found = {key.removeprefix(PREFIX): t.to(device) for key, t in kept.items() if key.startswith(PREFIX)}
        average._average = found or None
        return average

    def kept(self) -> dict[str, Tensor]:
        """What a later round needs, on the CPU."""
        return {PREFIX + name: tensor for name, tensor in (self.weights() or {}).items()}

    def follow(self, network: nn.Module) -> None:
        """Take a step of the network in."""
        self._average = moved_average(self._average, dict(network.named_parameters()), self._decay)

    def weights(self) -> dict[str, Tensor] | None:
        """A copy on the CPU; None before the first step."""
        if self._average is None:
            return None
        return {name: tensor.to("cpu", copy=True) for name, tensor in self._average.items()}
