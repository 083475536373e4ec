"""A small study and a consortium of three training sites and one held-out."""

from __future__ import annotations

import pytest

from common.exchange import Role
from common.study import Study
from common.trust import new_site_key
from server.consortium import AdmittedSite, admit

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
def study() -> Study:
    return Study.from_text(SMALL, where="test")


@pytest.fixture(scope="session")
def admitted() -> dict[str, AdmittedSite]:
    roles = {"east": Role.TRAIN, "north": Role.TRAIN, "south": Role.TRAIN, "west": Role.EVALUATE}
    return {name: admit(name, role, new_site_key()[1]) for name, role in roles.items()}
