"""No test is left out for a reason of its own: what a machine may lack stands in one list, and a run counts it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import absences, conftest

SKIPS = {"pytest.skip", "pytest.importorskip", "pytest.mark.skipif"}
SOURCES = sorted(Path(__file__).parent.rglob("*.py"))


def other_reasons(source: str) -> Iterator[str]:
    """Skips whose reason is not one of the list."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in SKIPS:
            named = [word.value for word in node.keywords if word.arg == "reason"]
            plain = node.args[:1] if ast.unparse(node.func) == "pytest.skip" else []
            if not any(ast.unparse(reason).startswith("absences.") for reason in (*named, *plain)):
                yield ast.unparse(node)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.skip":
            yield "pytest.mark.skip"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(Path(__file__).parent).as_posix())
def test_a_test_is_left_out_for_what_the_machine_lacks_alone(path: Path) -> None:
    assert list(other_reasons(path.read_text(encoding="utf-8"))) == []


def test_a_reason_of_its_own_is_seen() -> None:
    listed = "pytest.skip(absences.PEERS)\npytest.importorskip('x', reason=absences.PEERS)\n"
    assert list(other_reasons(listed)) == []
    assert (
        len(list(other_reasons("pytest.skip('slow')\npytest.importorskip('x')\n@pytest.mark.skip\ndef f(): ..."))) == 3
    )


@dataclass
class Terminal:
    """A terminal of a run in which tests were left out."""

    reasons: list[str]
    printed: list[str] = field(default_factory=list)

    def getreports(self, kind: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(longrepr=("test.py", 1, f"Skipped: {reason}")) for reason in self.reasons]

    def line(self, text: str) -> None:
        self.printed.append(text)


def test_a_run_counts_what_was_left_out_in_one_line() -> None:
    terminal = Terminal([absences.NGINX, absences.PEERS, absences.PEERS])
    conftest.pytest_terminal_summary(terminal)
    assert terminal.printed == ["skipped: 2 peers not installed, 1 nginx not installed"]


def test_a_run_in_which_nothing_was_left_out_says_nothing_of_it() -> None:
    terminal = Terminal([])
    conftest.pytest_terminal_summary(terminal)
    assert terminal.printed == []
