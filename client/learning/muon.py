"""Muon: matrices move by their orthogonalised momentum, everything else as AdamW moves it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, final, overload

import torch
from torch import Tensor, nn, optim

# A matrix of fewer rows or columns has too few directions to balance: Adam's diagonal does as well.
FEWEST_DIRECTIONS = 8
ADAM_EPSILON = 1e-8
# An orthogonal update of this share has the root mean square of AdamW's: one rate serves both (Liu et al., 2025).
_MATCHED_RMS = 0.2
# Coefficients of the quintic iteration, steepest at zero: singular values end between about 0.7 and 1.2.
_QUINTIC: Final = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_TINY = 1e-7


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter is moved as a matrix: rows are its outputs, columns all its other axes together."""
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) >= FEWEST_DIRECTIONS


@torch.no_grad()
def orthogonalised(matrix: Tensor) -> Tensor:
    """About the semi-orthogonal matrix nearest to (rows, columns), up to scale: all singular values near 1.

    Five Newton-Schulz iterations in the matrix's own precision (Jordan et al., 2024). Zero stays zero.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    near: Tensor = (matrix.t() if tall else matrix) / matrix.norm().clamp(min=_TINY)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = near @ near.t()
        near = a * near + (b * gram + c * (gram @ gram)) @ near
    return near.t() if tall else near


@final
class Muon(optim.Optimizer):
    """Muon (Jordan et al., 2024) with AdamW's scale of update (Liu et al., arXiv 2502.16982), Nesterov's momentum.

    A matrix keeps ``exp_avg`` alone between steps, half of what Adam keeps; a vector keeps what Adam does.

    Args:
        parameters: of one network.
        lr: rate of both kinds.
        momentum: decay of a matrix's average gradient.
        betas: Adam's, for the rest.
        weight_decay: decoupled.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every parameter that has a gradient.

        Args:
            closure: computes gradients again and returns the loss, as PyTorch's optimisers take it.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                move = _move_matrix if is_matrix(parameter) else _move_vector
                move(parameter, parameter.grad, self.state[parameter], group)
        return loss


def _move_matrix(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["exp_avg"] = torch.zeros_like(parameter)
    average = state["exp_avg"]
    average.lerp_(gradient, 1 - group["momentum"])
    ahead = gradient.lerp(average, group["momentum"]).reshape(parameter.shape[0], -1)
    scale = _MATCHED_RMS * math.sqrt(max(ahead.shape))
    parameter.add_(orthogonalised(ahead).reshape(parameter.shape), alpha=-group["lr"] * scale)


def _move_vector(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["step"] = torch.zeros(())
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
    first, second = group["betas"]
    state["step"] += 1
    steps = float(state["step"])
    state["exp_avg"].lerp_(gradient, 1 - first)
    state["exp_avg_sq"].lerp_(gradient.square(), 1 - second)
    spread = (state["exp_avg_sq"] / (1 - second**steps)).sqrt().add_(ADAM_EPSILON)
    parameter.addcdiv_(state["exp_avg"] / (1 - first**steps), spread, value=-group["lr"])
