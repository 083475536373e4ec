from __future__ import annotations

import pytest
import torch

from server.aggregation.outer_momentum import moved_on


def test_without_momentum_the_mean_is_taken_as_it_is() -> None:
    start, mean = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([0.5, 4.0])}
    weights, _ = moved_on(start, mean, {"w": torch.tensor([9.0, 9.0])}, 0.0)
    assert torch.equal(weights["w"], mean["w"])


@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_rounds_move_as_nesterovs_optimiser_does_with_the_movement_as_its_gradient(momentum: float) -> None:
    random = torch.Generator().manual_seed(1)
    plain = torch.randn(5, generator=random, dtype=torch.float64)
    reference = plain.clone().requires_grad_()
    optimiser = torch.optim.SGD([reference], lr=1.0, momentum=momentum, nesterov=True)
    weights, velocity = {"w": plain}, None
    for _ in range(5):
        change = torch.randn(5, generator=random, dtype=torch.float64)
        weights, velocity = moved_on(weights, {"w": weights["w"] + change}, velocity, momentum)
        reference.grad = -change
        optimiser.step()
    assert torch.allclose(weights["w"], reference.detach(), rtol=1e-12)
