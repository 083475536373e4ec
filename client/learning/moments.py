"""What a site keeps between rounds: the optimisers' moments, and the discriminator where it must not travel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import final

from torch import Tensor, nn, optim

from client.learning.muon import Muon, is_matrix
from common.errors import ExitCode, Refusal
from common.files import disk_refusals, make_folder, read_tensors, write_tensors
from common.networks import load_parameters

KEPT_ROUNDS = 2
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
MOMENTS_OF_MATRICES = ("exp_avg",)
_FILE = re.compile(r"round-(\d{6})\.safetensors")

Tensors = dict[str, Tensor]


@final
class RoundMemory:
    """One file per finished round in the folder of one run; the newest two stay.

    A round starts from the newest file of an earlier round, so that a repeated round repeats exactly.

    Args:
        folder: the run's private folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, number: int) -> Tensors:
        """What was kept after the last round before ``number``; empty where there was none.

        Raises:
            Refusal: ``RUN_INVALID`` if the file is damaged.
        """
        earlier = [kept for kept in self._rounds() if kept < number]
        return read_tensors(self._path(earlier[-1])) if earlier else {}

    def save(self, number: int, tensors: Tensors) -> None:
        """Keep tensors after round ``number`` and drop old files.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
        """
        make_folder(self._folder)
        write_tensors(self._path(number), tensors)
        for old in self._rounds():
            # A file of a later round is left from before the coordinator went back.
            if not number - KEPT_ROUNDS < old <= number:
                with disk_refusals(self._folder):
                    self._path(old).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"round-{number:06d}.safetensors"

    def _rounds(self) -> list[int]:
        matches = (_FILE.fullmatch(path.name) for path in self._folder.glob("round-*.safetensors"))
        return sorted(int(match[1]) for match in matches if match)


def moments_of(network: str, module: nn.Module, optimiser: optim.Optimizer) -> Tensors:
    """An optimiser's moments by network, parameter and moment, on the CPU."""
    return {
        f"{network}/{name}/{moment}": optimiser.state[parameter][moment].detach().cpu().clone()
        for name, parameter in module.named_parameters()
        if parameter in optimiser.state
        for moment in kept_moments(optimiser, parameter)
    }


def kept_moments(optimiser: optim.Optimizer, parameter: Tensor) -> tuple[str, ...]:
    """Names of what an optimiser keeps of a parameter."""
    return MOMENTS_OF_MATRICES if isinstance(optimiser, Muon) and is_matrix(parameter) else MOMENTS


def restore_moments(network: str, module: nn.Module, optimiser: optim.Optimizer, kept: Tensors) -> None:
    """Put kept moments back; a parameter without any starts afresh.

    Raises:
        Refusal: ``RUN_INVALID`` if the moments are those of another network.
    """
    optimiser.state.clear()
    names = {key.split("/")[1] for key in kept if key.startswith(f"{network}/") and key.endswith(MOMENTS)}
    parameters = dict(module.named_parameters())
    for name in names:
        state = {moment: kept.get(f"{network}/{name}/{moment}") for moment in MOMENTS}
        present = tuple(moment for moment, tensor in state.items() if tensor is not None)
        parameter, average = parameters.get(name), state["exp_avg"]
        if (
            parameter is None
            or average is None
            or average.shape != parameter.shape
            or present != kept_moments(optimiser, parameter)
        ):
            mend = "remove the run's folder in the site's state to start with fresh moments"
            raise Refusal(ExitCode.RUN_INVALID, "moments of another network", where=network, mend=mend)
        device = parameter.device
        # Adam keeps its step count on the CPU.
        optimiser.state[parameter] = {
            moment: tensor.clone() if moment == "step" else tensor.to(device, copy=True)
            for moment, tensor in state.items()
            if tensor is not None
        }


def parameters_of(network: str, module: nn.Module) -> Tensors:
    """A network's parameters under the keys of :class:`RoundMemory`."""
    return {f"{network}/{name}/value": p.detach().cpu().clone() for name, p in module.named_parameters()}


def restore_parameters(network: str, module: nn.Module, kept: Tensors) -> bool:
    """Put kept parameters back; false where none were kept."""
    found = {
        key.split("/")[1]: t for key, t in kept.items() if key.startswith(f"{network}/") and key.endswith("/value")
    }
    if found:
        load_parameters(module, found)
    return bool(found)
