"""Learning rates over a whole run: the schedule continues from round to round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self, final

from common.study import Study

FLAT_UNTIL = 0.25
LAST_FACTOR = 0.02


@final
@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then flat for a quarter of the run, then half a cosine down to two per cent.

    Attributes:
        warmup_steps: steps until the full rate.
        total_steps: steps of the whole run at one site.
    """

    warmup_steps: int
    total_steps: int

    @classmethod
    def of(cls, study: Study) -> Self:
        """The schedule of a study."""
        return cls(study.optimisation.warmup_steps, study.federation.rounds * study.optimisation.steps_per_round)

    def factor(self, step: int) -> float:
        """Factor on the peak learning rate at a global step, counted from 0."""
        return min(1.0, (step + 1) / (self.warmup_steps + 1)) * self.decay(step)

    def decay(self, step: int) -> float:
        """The factor without warm-up, for the discriminator."""
        flat = FLAT_UNTIL * self.total_steps
        if step <= flat:
            return 1.0
        done = min((step - flat) / max(self.total_steps - flat, 1.0), 1.0)
        return LAST_FACTOR + (1 - LAST_FACTOR) * 0.5 * (1 + math.cos(math.pi * done))
