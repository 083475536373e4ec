"""Studies small enough for tests."""

from __future__ import annotations

import pytest

from common.study import Study

SMALL = """
name = "small"
[grid]
shape = [16, 16, 16]
voxel_mm = 14.0
[geometry]
detector_shape = [32, 32]
pixel_mm = 14.0
"""


@pytest.fixture
def study() -> Study:
    return Study.from_text(SMALL, where="test")
