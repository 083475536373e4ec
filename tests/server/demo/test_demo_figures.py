from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ExitCode, Refusal
from server.demo.demo_figures import demo_figures


def test_a_run_without_held_out_evaluation_has_no_figures(tmp_path: Path, study) -> None:
    with pytest.raises(Refusal) as caught:
        demo_figures(tmp_path, study, 1.0, 1, real_heads=False)
    assert caught.value.code is ExitCode.RUN_INVALID
