from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).with_name("killed_site.py")


def site(folder: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(SITE), str(folder), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=200)
    assert process.returncode == 0


@pytest.mark.processes
def test_a_site_killed_in_mid_round_goes_on_bit_for_bit(tmp_path: Path) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    unbroken.mkdir()
    killed.mkdir()
    finished(site(unbroken, 1, 3))
    process = site(killed, 1, 3)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "round 2 step 2\n":
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.stdout.close()
    assert sorted(path.name for path in killed.glob("sent-*")) == ["sent-1.safetensors"]
    finished(site(killed, 2, 3))
    for name in ("sent-2", "sent-3", "average-3", "state/round-000003"):
        ours, theirs = (folder / f"{name}.safetensors" for folder in (killed, unbroken))
        assert ours.read_bytes() == theirs.read_bytes()
