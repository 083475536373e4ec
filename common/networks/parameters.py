"""Parameters into a network, every name and shape checked."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from common.errors import ExitCode, Refusal


def load_parameters(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a network's parameters; its buffers stay.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` if a parameter is missing, extra or of another shape. Nothing is copied then.
    """
    parameters = dict(module.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in weights.items()}:
        mend = "check that both sides run the same release and study"
        raise Refusal(ExitCode.EXCHANGE_INVALID, "weights differ from the network", where="weights", mend=mend)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
