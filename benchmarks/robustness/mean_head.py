"""The least that consistency can start from: the mean of known heads, free to move where they differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.robustness.mismatch import Synthesise
from common.networks import ProjectorConsistency
from common.objective import from_window, to_window
from common.study import Study

STEPS = 20


def mean_head(study: Study, known_hu: Sequence[Tensor], *, affine: bool, steps: int = STEPS) -> Synthesise:
    """A predictor that needs no training: the known heads' mean, moved by their variance until it projects right.

    Args:
        study: grid, geometry, window and attenuation of water.
        known_hu: volumes (z, y, x) on the study's grid.
        affine: whether gain and offset of each view are fitted.
        steps: of consistency.
    """
    known = to_window(torch.stack([volume.float() for volume in known_hu]), study.window)
    mean, variance = known.mean(0)[None, None], known.var(0)[None, None]
    water = study.radiograph.water_mu_per_mm
    layer = ProjectorConsistency(study.grid, study.geometry, study.window, water, steps, affine=affine)

    def predict(integrals: Tensor) -> Tensor:
        shape = (len(integrals), -1, -1, -1, -1)
        with torch.inference_mode():
            return from_window(layer(mean.expand(shape), variance.expand(shape), integrals), study.window)[:, 0]

    return predict
