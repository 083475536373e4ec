"""The shape of the house: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

WINGS = {
    "client": ["dicom", "pacs", "archive", "cohort_page", "learning", "gate", "link"],
    "server": ["consortium", "link", "rounds", "report"],
}
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
SOCKETS = {"socket", "http", "httpx", "requests", "urllib", "aiohttp", "websockets"}


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]


@pytest.mark.parametrize("path", _sources("common", "client", "server"), ids=str)
def test_sides_meet_only_in_common(path: Path) -> None:
    side = path.parts[0]
    forbidden = {"common": {"client", "server"}, "client": {"server"}, "server": {"client"}}[side]
    assert {name for name in _imports(path) if name.split(".")[0] in forbidden} == set()


@pytest.mark.parametrize("path", _sources("client", "server"), ids=str)
def test_a_wing_imports_only_wings_before_it(path: Path) -> None:
    side, *rest = path.parts
    wings = WINGS[side]
    if rest[0] not in wings:
        return
    later = wings[wings.index(rest[0]) + 1 :]
    assert {name for name in _imports(path) if name.split(".")[:2] in [[side, wing] for wing in later]} == set()


@pytest.mark.parametrize("path", _sources("client", "server"), ids=str)
def test_nothing_reaches_past_a_wings_public_names(path: Path) -> None:
    side, *rest = path.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if len(parts) > 2 and parts[0] == side and parts[1] in WINGS[side] and parts[1] != rest[0]:
                pytest.fail(f"{path} imports {node.module}")


@pytest.mark.parametrize("path", _sources("common"), ids=str)
def test_common_opens_no_socket_and_reads_no_dicom(path: Path) -> None:
    assert {name for name in _imports(path) if name.split(".")[0] in SOCKETS | {"pydicom", "SimpleITK"}} == set()


@pytest.mark.parametrize("path", _sources("common", "client", "server", "tests", "benchmarks"), ids=str)
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    assert {name for name in _imports(path) if name.split(".")[0] in FORBIDDEN} == set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "torch.load", "torch.jit.load"}, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", _sources("common", "client", "server"), ids=str)
def test_no_file_outgrows_the_house(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("name", ["coordinator", "round_order"])
def test_a_coordinator_starts_without_what_only_its_round_loop_imports(name: str) -> None:
    assert _imports(Path("server", f"{name}.py")) & {"server.coordinator.round_process", "server.report"} == set()
