"""Running the installed commands as a user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent

STUDY = """
name = "small"
[grid]
shape = [32, 32, 32]
voxel_mm = 7.2
[geometry]
detector_shape = [32, 32]
pixel_mm = 12.0
[networks.generator]
width_2d = 4
width_3d = 4
consistency_steps = 1
[networks.discriminator]
width = 4
[optimisation]
steps_per_round = 2
adversarial_from_step = 0
[federation]
rounds = 6
round_timeout_s = 120.0
[cohort]
minimum_cases = 2
[privacy]
minimum_cases = 2
"""


def command(name: str, *arguments: object) -> list[str]:
    return [str(BIN / name), *map(str, arguments)]


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command to its end."""

    def call(name: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(name, *arguments), capture_output=True, text=True, timeout=240, check=False, **options
        )

    return call


@pytest.fixture(scope="session")
def small_study() -> str:
    return STUDY


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(STUDY)
    return path
