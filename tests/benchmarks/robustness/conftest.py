from __future__ import annotations

from pathlib import Path

import pytest

from common.study import Study

TINY = """
name = "tiny"
[grid]
shape = [16, 16, 16]
voxel_mm = 14.4
[geometry]
detector_shape = [16, 16]
pixel_mm = 24.0
[networks.generator]
width_2d = 4
width_3d = 4
stages_3d = 1
consistency_steps = 1
[networks.discriminator]
width = 4
[optimisation]
warmup_steps = 2
"""


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    """A study file whose network trains in a moment; it predicts no variance."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def tiny(tiny_file: Path) -> Study:
    return Study.from_toml(tiny_file)
