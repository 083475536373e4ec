"""Help and a refused typo come at once: nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = {"tomoray-site": "client.cli", "tomoray-coordinator": "server.cli", "tomoray-report": "server.report_cli"}
# Each of these alone costs a good part of the half second that a person should wait at most.
HEAVY = {
    "cryptography",
    "flwr",
    "grpc",
    "httpx",
    "jinja2",
    "matplotlib",
    "monai",
    "numba",
    "numpy",
    "PIL",
    "pydantic",
    "pydicom",
    "scipy",
    "SimpleITK",
    "statsmodels",
    "torch",
}
PROGRAM = """
import sys
from {module} import main
try:
    main()
finally:
    print("imported:", *sorted({{name.split(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def run(name: str, *arguments: str) -> tuple[int, str, set[str]]:
    """Exit code, what was printed, and what was imported."""
    program = [sys.executable, "-c", PROGRAM.format(module=COMMANDS[name]), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    printed, _, imported = (done.stdout + done.stderr).rpartition("imported:")
    return done.returncode, printed, set(imported.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    code, printed, imported = run(name, "--help")
    assert code == 0
    assert "Usage" in printed
    assert "typer" in imported
    assert imported & HEAVY == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_typo_is_refused_before_anything_heavy_is_imported(name: str) -> None:
    code, printed, imported = run(name, "--setings", "x")
    assert code == 2
    assert "--setings" in printed
    assert imported & HEAVY == set()


def test_a_command_that_works_is_seen_to_import_what_it_needs() -> None:
    _, _, imported = run("tomoray-coordinator", "study", "configs/demo.toml")
    assert "pydantic" in imported
