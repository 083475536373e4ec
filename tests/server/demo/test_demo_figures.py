from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ExitCode, Refusal
from common.roles import Role
from server.demo.demo import HOSPITALS
from server.demo.demo_figures import demo_figures


def test_three_hospitals_train_on_different_scanners_and_one_is_held_out() -> None:
    training = [hospital for hospital in HOSPITALS if hospital.role is Role.TRAIN]
    assert len(training) == 3
    assert len({hospital.style for hospital in HOSPITALS}) == 4
    assert len({hospital.seed for hospital in HOSPITALS}) == 4
    assert [hospital.role for hospital in HOSPITALS].count(Role.EVALUATE) == 1


def test_a_run_without_held_out_evaluation_has_no_figures(tmp_path: Path, study) -> None:
    with pytest.raises(Refusal) as caught:
        demo_figures(tmp_path, study, 1.0, 1, real_heads=False)
    assert caught.value.code is ExitCode.RUN_INVALID
