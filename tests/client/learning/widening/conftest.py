"""Plans that change nothing but what a test asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from client.learning.widening.plan import Plan
from common.geometry import Pose

STRONGEST = {
    "flip": 1.0,
    "displacement_mm": 6.0,
    "scale": 0.15,
    "rotation_deg": 10.0,
    "shift_mm": 20.0,
    "ventricles": 0.5,
    "skull_mm": 3.0,
    "bone": 0.3,
    "brain_hu": 10.0,
    "lesions": 1.0,
    "coverage": 1.0,
    "kernel": 1.0,
    "noise_hu": 50.0,
    "pose_deg": 5.0,
    "pose_mm": 20.0,
    "distance_mm": 40.0,
}


@pytest.fixture
def plan() -> Callable[..., Plan]:
    def make(**changes: object) -> Plan:
        still = {
            "flipped": False,
            "scale": (1.0, 1.0, 1.0),
            "rotation_deg": (0.0, 0.0, 0.0),
            "shift_mm": (0.0, 0.0, 0.0),
            "displacement_mm": 0.0,
            "ventricles": 1.0,
            "skull_mm": 0.0,
            "bone": 1.0,
            "finding": None,
            "cut": None,
            "kernel": 0.0,
            "noise_hu": 0.0,
            "poses": (Pose(), Pose()),
            "seed": 1,
        }
        return Plan(**(still | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def strongest() -> dict[str, float]:
    return dict(STRONGEST)
