"""Running the installed commands as a user would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
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
rounds = 2
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
            command(name, *arguments), capture_output=True, text=True, timeout=120, check=False, **options
        )

    return call


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def no_process_left() -> Iterator[None]:
    """Every process of ours that a test starts is gone when it ends."""
    yield
    deadline = time.monotonic() + 10
    while (left := ours()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        process.send_signal(signal.SIGKILL)
    assert [process.cmdline() for process in left if process.is_running()] == []


def ours() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        line = " ".join(process.info["cmdline"] or [])
        modules = ("tomoray-", "server.round_process", "superlink_entry")
        if process.pid != os.getpid() and str(BIN) in line and any(module in line for module in modules):
            found.append(process)
    return found
