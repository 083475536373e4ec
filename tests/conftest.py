"""The study that most tests use: as small as its networks allow."""

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
[networks.generator]
width_2d = 4
width_3d = 4
[federation]
rounds = 3
round_timeout_s = 20.0
[privacy]
minimum_cases = 3
"""


@pytest.fixture
def study_text() -> str:
    return SMALL


@pytest.fixture
def study(study_text: str) -> Study:
    return Study.from_text(study_text, where="test")
