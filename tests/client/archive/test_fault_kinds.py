"""Every kind of fault has its faulty series judged and at least two variants tested; no series is without a kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.archive.fault_kinds import REFUSED_KINDS, USED_KINDS, FaultKind
from tests.client.cohort.test_archive_faults import CONTRAST_DENIED, CONTRAST_SAID, REFUSED, TAKEN

ROOT = Path(__file__).resolve().parents[3]
FEWEST = 2
TWINS = {"00", "30w"}
SHARED_IDENTIFIER = "13"
KINDS = (*REFUSED_KINDS, *USED_KINDS)


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """Names of the tests that stand in the files that the table names, below `tests/client`."""
    files = sorted({f"tests/client/{variant.split('::')[0]}" for kind in KINDS for variant in kind.variants})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line.removeprefix("tests/client/") for line in found.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_a_kind_of_fault_has_at_least_two_variants(collected: list[str], kind: FaultKind) -> None:
    found = [
        [name for name in collected if name == variant or name.startswith(f"{variant}[")] for variant in kind.variants
    ]
    assert all(found), "a test of the table is gone"
    assert sum(len(names) for names in found) >= FEWEST


def test_what_is_judged_of_faulty_series_stands_with_its_kind() -> None:
    judged = {
        "refused": {*REFUSED, *CONTRAST_SAID},
        "used": {*TAKEN, *CONTRAST_DENIED, SHARED_IDENTIFIER},
    }
    assert {name for kind in REFUSED_KINDS for name in kind.series} == judged["refused"]
    assert {name for kind in USED_KINDS for name in kind.series} == judged["used"]


def test_every_faulty_series_has_a_kind(archive_faults: Path) -> None:
    named = [name for kind in KINDS for name in kind.series] + sorted(TWINS)
    for path in archive_faults.glob("*.zip"):
        assert [name for name in named if path.stem == name or path.stem.startswith(f"{name}_")], path.stem
