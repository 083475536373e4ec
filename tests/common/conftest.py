"""Studies small enough for tests."""

from __future__ import annotations

import pytest

from common.study import Study

SMALL = """
name = "small"
[grid]
shape = [32, 32, 32]
voxel_mm = 7.0
[geometry]
detector_shape = [64, 64]
pixel_mm = 7.0
"""


@pytest.fixture
def study() -> Study:
    return Study.from_text(SMALL, where="test")
