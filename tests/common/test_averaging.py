from __future__ import annotations

import pytest
import torch

from common.averaging import moved_average, round_decay
from common.study import Optimisation


def test_it_starts_at_the_first_weights_and_then_follows() -> None:
    average = moved_average(None, {"w": torch.tensor([1.0, 2.0])}, 0.9)
    average = moved_average(average, {"w": torch.tensor([11.0, 2.0])}, 0.9)
    assert average["w"].tolist() == pytest.approx([2.0, 2.0])


def test_it_is_no_view_of_the_weights() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    average = moved_average(None, {"w": weight}, 0.9)
    with torch.no_grad():
        weight.add_(1)
    assert average["w"].tolist() == [1.0, 1.0]
    assert not average["w"].requires_grad
    assert not moved_average(average, {"w": weight}, 0.9)["w"].requires_grad


def test_a_round_decays_as_all_its_steps_together() -> None:
    options = Optimisation(ema_decay=0.9, steps_per_round=4)
    assert round_decay(options) == pytest.approx(0.9**4)
    still = {"w": torch.tensor([5.0])}
    by_step = {"w": torch.tensor([1.0])}
    for _ in range(4):
        by_step = moved_average(by_step, still, options.ema_decay)
    by_round = moved_average({"w": torch.tensor([1.0])}, still, round_decay(options))
    assert by_step["w"].item() == pytest.approx(by_round["w"].item())
