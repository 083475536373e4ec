"""From a radiograph pair to a synthetic CT volume in HU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import Weights
from common.networks import build_generator, load_parameters, network_input
from common.objective import from_window
from common.study import Study


@final
@dataclass(frozen=True)
class SyntheticCt:
    """A synthetic CT with what the generator says of its uncertainty.

    Attributes:
        volume_hu: (z, y, x), within the study's window.
        sd_hu: (z, y, x), the standard deviation the generator expects of itself before it looks at the projection once
            more: consistency then moves the doubtful voxels most. It covers what varied in training and nothing else.
            None where the study predicts no variance.
    """

    volume_hu: NDArray[np.int16]
    sd_hu: NDArray[np.float32] | None


@final
class Synthesiser:
    """A study's generator, ready to predict.

    Args:
        study: grid, geometry, window and network.
        device: where the generator runs.
    """

    def __init__(self, study: Study, device: torch.device) -> None:
        self._study = study
        self._device = device
        self._generator = build_generator(study).to(device).eval()

    def load(self, weights: Weights) -> None:
        """Take weights in.

        Raises:
            Refusal: ``EXCHANGE_INVALID`` if they do not fit the generator.
        """
        load_parameters(self._generator, weights)

    def volumes_hu(self, integrals: Tensor, exposed: Tensor | None = None) -> Tensor:
        """Predicted volumes.

        Args:
            integrals: (B, 2, rows, columns), line integrals.
            exposed: of films the same shape, where they were exposed; None of DRRs.

        Returns:
            (B, z, y, x), HU within the study's window, on the CPU.
        """
        return self.volumes_with_sd_hu(integrals, exposed)[0]

    def volumes_with_sd_hu(self, integrals: Tensor, exposed: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Predicted volumes, and each voxel's standard deviation as :class:`SyntheticCt` defines it.

        Args:
            integrals: (B, 2, rows, columns), line integrals.
            exposed: as of :meth:`volumes_hu`.

        Returns:
            Twice (B, z, y, x) in HU, on the CPU; the second None where the study predicts no variance.
        """
        measured, scale = integrals.to(self._device, torch.float32), self._study.radiograph.integral_scale
        radiographs = network_input(measured, None if exposed is None else exposed.to(self._device), scale)
        window = self._study.window
        with torch.inference_mode():
            prediction = self._generator.predict(radiographs)
            sd = None if prediction.sd is None else (prediction.sd * window.width_hu).squeeze(1).cpu()
        return from_window(prediction.volume, window).squeeze(1).cpu(), sd


def synthesize(
    study: Study, weights: Weights, integrals: NDArray[np.float32], device: torch.device | None = None
) -> NDArray[np.int16]:
    """The volume alone of :func:`synthesize_with_sd`: (z, y, x), HU within the study's window."""
    return synthesize_with_sd(study, weights, integrals, device).volume_hu


def synthesize_with_sd(
    study: Study, weights: Weights, integrals: NDArray[np.float32], device: torch.device | None = None
) -> SyntheticCt:
    """A synthetic CT from one radiograph pair.

    Args:
        study: the study the generator was trained in.
        weights: the generator's.
        integrals: (2, rows, columns), line integrals in the study's geometry.
        device: where the generator runs; the CPU by default.

    Raises:
        Refusal: ``IMAGE_INVALID`` if the radiographs are not a finite pair of the study's size, ``EXCHANGE_INVALID`` if
            the weights do not fit the generator.
    """
    if integrals.shape != (2, *study.geometry.detector_shape) or not np.isfinite(integrals).all():
        rows, columns = study.geometry.detector_shape
        mend = f"give a frontal and a lateral radiograph of {rows} x {columns} finite line integrals"
        raise Refusal(ExitCode.IMAGE_INVALID, "not the study's radiograph pair", where="radiographs", mend=mend)
    synthesiser = Synthesiser(study, device or torch.device("cpu"))
    synthesiser.load(weights)
    volumes, sds = synthesiser.volumes_with_sd_hu(torch.from_numpy(np.ascontiguousarray(integrals))[None])
    hu: NDArray[np.int16] = volumes[0].round().to(torch.int16).numpy()
    return SyntheticCt(hu, None if sds is None else sds[0].numpy())
