"""From a radiograph pair to a synthetic CT volume in HU."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import Weights
from common.networks import build_generator, load_parameters
from common.objective import from_window
from common.study import Study


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

    def volumes_hu(self, integrals: Tensor) -> Tensor:
        """Predicted volumes.

        Args:
            integrals: (B, 2, rows, columns), line integrals.

        Returns:
            (B, z, y, x), HU within the study's window, on the CPU.
        """
        radiographs = integrals.to(self._device, torch.float32) / self._study.radiograph.integral_scale
        with torch.inference_mode():
            windowed = self._generator(radiographs)
        return from_window(windowed, self._study.window).squeeze(1).cpu()


def synthesize(
    study: Study, weights: Weights, integrals: NDArray[np.float32], device: torch.device | None = None
) -> NDArray[np.int16]:
    """A synthetic CT from one radiograph pair.

    Args:
        study: the study the generator was trained in.
        weights: the generator's.
        integrals: (2, rows, columns), line integrals in the study's geometry.
        device: where the generator runs; the CPU by default.

    Returns:
        (z, y, x), HU within the study's window.

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
    volume = synthesiser.volumes_hu(torch.from_numpy(np.ascontiguousarray(integrals))[None])[0]
    hu: NDArray[np.int16] = volume.round().to(torch.int16).numpy()
    return hu
