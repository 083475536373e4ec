"""The study that most tests use, as small as its networks allow, and a disk that is soon full."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.study import Study
from tests import absences

# Archives of true DICOM, cases of random blobs, a real SuperLink: several wings' tests share them.
pytest_plugins = ["tests.client.archives", "tests.client.tiny_cases", "tests.consortium"]

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A folder's tests share its fixtures and stay on one worker, where there are several."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path.parent.relative_to(item.config.rootpath))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for all that was left out, by what this machine lacks."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.line("skipped: " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()))


@pytest.fixture
def study_text() -> str:
    return SMALL


@pytest.fixture
def study(study_text: str) -> Study:
    return Study.from_text(study_text, where="test")


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A real disk of 256 KiB, or of as many KiB as the test's parameter says."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={getattr(request, 'param', 256)}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip(absences.SMALL_DISK)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
