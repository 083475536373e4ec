from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import processes
from benchmarks.gpu.card import Card


@pytest.mark.processes
def test_processes_train_together_end_and_notice_a_death() -> None:
    outcome = processes.measure(Card.of(torch.device("cpu")), tiny=True)
    assert [goal.met for goal in outcome.goals] == [True, True, True], outcome.goals
