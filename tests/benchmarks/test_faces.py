"""Benchmarks measure what the house offers: they take it by its faces, as one wing takes another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("client", "common", "server")
# The only places where a benchmark reaches past a face, each with its reason.
EXCEPTIONS = {
    ("benchmarks/cohort/ours.py", "client.case.alignment"): "a case without its radiographs, as peers make it",
    ("benchmarks/cohort/ours.py", "client.case.construction"): "a case without its radiographs, as peers make it",
    ("benchmarks/cohort/ours.py", "client.case.decoding"): "a case without its radiographs, as peers make it",
    ("benchmarks/cohort/ours.py", "client.case.volume"): "a case without its radiographs, as peers make it",
    ("benchmarks/step/worker.py", "client.learning.players"): "times a step apart from its samples",
    ("benchmarks/step/worker.py", "client.learning.samples"): "times the samples apart from their step",
}
SOURCES = sorted((ROOT / "benchmarks").rglob("*.py"))


def _reached_past(path: Path) -> set[str]:
    """Modules of the product that a file imports from behind a package's face."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        for module in modules:
            parts = module.split(".")
            if len(parts) > 2 and parts[0] in PRODUCT:
                found.add(module)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_benchmark_imports_faces(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert {module for module in _reached_past(path) if (name, module) not in EXCEPTIONS} == set()


def test_no_exception_outlives_its_import() -> None:
    assert {(name, module) for name, module in EXCEPTIONS if module not in _reached_past(ROOT / name)} == set()


def test_reaching_past_a_face_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text("import client.case.body\nfrom common.study import Study\nfrom server.rounds.loop import Asker\n")
    assert _reached_past(file) == {"client.case.body", "server.rounds.loop"}
