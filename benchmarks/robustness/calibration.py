"""Whether a generator errs as much as it says: how often the truth lies within its predicted SD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from client.synthesis import synthesize_with_sd
from common.exchange import Weights
from common.metrics import body_mask
from common.study import Study

PARTS = 5


@final
@dataclass(frozen=True)
class Calibration:
    """What the predicted SD is worth inside the bodies of several heads.

    Attributes:
        within_1_sd, within_2_sd: shares of the voxels whose truth lies that near.
        sd_hu, error_hu: in each fifth of the voxels, by growing SD, its mean and the root mean square error.
    """

    within_1_sd: float
    within_2_sd: float
    sd_hu: tuple[float, ...]
    error_hu: tuple[float, ...]

    @property
    def errs_where_it_doubts(self) -> bool:
        """Whether the error grows with the SD from each fifth to the next."""
        return list(self.error_hu) == sorted(self.error_hu)


def expected_share(likelihood: str, deviations: float) -> float:
    """The share within so many SD of a distribution that a study's ``likelihood`` names."""
    if likelihood == "gaussian":
        return math.erf(deviations / math.sqrt(2))
    return 1 - math.exp(-math.sqrt(2) * deviations)


def calibrations(
    study: Study, weights: Weights, heads_hu: Sequence[Tensor], integrals: Mapping[str, Tensor]
) -> dict[str, Calibration]:
    """The calibration with each mismatch of the radiographs.

    Args:
        study: a study with ``networks.generator.variance``.
        weights: its generator's.
        heads_hu: true volumes (z, y, x) on the study's grid.
        integrals: (heads, 2, rows, columns) by mismatch.

    Raises:
        ValueError: if the study predicts no variance.
        Refusal: ``EXCHANGE_INVALID`` if the weights do not fit the generator.
    """
    bodies = [body_mask(head).numpy() for head in heads_hu]
    truths = [head.clamp(study.window.low_hu, study.window.high_hu).numpy() for head in heads_hu]
    found = {}
    for name, measured in integrals.items():
        errors, sds = [], []
        for truth, body, pair in zip(truths, bodies, measured, strict=True):
            predicted = synthesize_with_sd(study, weights, pair.numpy())
            if predicted.sd_hu is None:
                raise ValueError(f"study {study.name} predicts no variance")
            errors.append(np.abs(predicted.volume_hu - truth)[body])
            sds.append(predicted.sd_hu[body])
        found[name] = _calibration(np.concatenate(errors), np.concatenate(sds))
    return found


def _calibration(error_hu: NDArray[np.float32], sd_hu: NDArray[np.float32]) -> Calibration:
    parts = np.array_split(np.argsort(sd_hu, kind="stable"), PARTS)
    return Calibration(
        within_1_sd=float((error_hu <= sd_hu).mean()),
        within_2_sd=float((error_hu <= 2 * sd_hu).mean()),
        sd_hu=tuple(float(sd_hu[part].mean()) for part in parts),
        error_hu=tuple(float(np.sqrt(np.square(error_hu[part]).mean())) for part in parts),
    )
