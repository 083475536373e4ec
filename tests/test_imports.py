"""The shape of the house: which rooms there are, who may import whom, and how large a room may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

# In the order of the data's way: a wing imports only wings before it.
WINGS = {
    "client": [
        "phantom",
        "header",
        "dicom",
        "pacs",
        "archive",
        "case",
        "radiographs",
        "pose",
        "cohort",
        "virtual_hospital",
        "virtual_films",
        "cohort_page",
        "synthesis",
        "evaluation",
        "learning",
        "gate",
        "link",
        "joining",
        "commands",
    ],
    "server": ["consortium", "link", "aggregation", "rounds", "report", "release", "coordinator", "demo"],
}
# Files of a side that stand above its wings; of these, only commands import any.
ABOVE = {"client": {"cli", "settings", "source", "site"}, "server": {"cli", "report_cli"}}
COMMANDS = {"client/commands"}
PRODUCT = ("common", "client", "server")
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
SOCKETS = {"socket", "http", "httpx", "requests", "urllib", "aiohttp", "websockets"}
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_WING, MEDIAN_LINES = 400, 3000, 130


def _sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is named by an import, and every name taken from one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imports_of(path: Path) -> set[str]:
    return set(_imports(ast.parse(path.read_text(encoding="utf-8"))))


def _room(path: Path) -> str:
    """``client/archive`` of a file in a wing or below it, ``client`` of a file above the wings."""
    return "/".join(path.parts[:2]) if len(path.parts) > 2 else path.parts[0]


def _reached_past(path: Path) -> set[str]:
    """Modules that a file imports from behind the face of another wing or of another package of common."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        for module in modules:
            parts = module.split(".")
            behind = len(parts) > 2 and parts[0] in PRODUCT and Path(*parts[:2]).is_dir()
            if behind and "/".join(parts[:2]) != _room(path):
                found.add(module)
    return found


@pytest.mark.parametrize("side", sorted(WINGS))
def test_every_folder_has_its_place_in_the_order(side: str) -> None:
    folders = {path.name for path in Path(side).iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert folders == set(WINGS[side])
    assert {path.stem for path in Path(side).glob("*.py")} == {"__init__", *ABOVE[side]}


@pytest.mark.parametrize("path", _sources(*PRODUCT), ids=str)
def test_sides_meet_only_in_common(path: Path) -> None:
    side = path.parts[0]
    forbidden = {"common": {"client", "server"}, "client": {"server"}, "server": {"client"}}[side]
    assert {name for name in _imports_of(path) if name.split(".")[0] in forbidden} == set()


@pytest.mark.parametrize("path", _sources("client", "server"), ids=str)
def test_a_wing_imports_only_wings_before_it(path: Path) -> None:
    side, *rest = path.parts
    if len(rest) < 2:
        return
    wings = WINGS[side]
    forbidden = {f"{side}.{name}" for name in wings[wings.index(rest[0]) + 1 :]}
    if _room(path) not in COMMANDS:
        forbidden |= {f"{side}.{name}" for name in ABOVE[side]}
    assert {name for name in _imports_of(path) if ".".join(name.split(".")[:2]) in forbidden} == set()


@pytest.mark.parametrize("path", _sources(*PRODUCT), ids=str)
def test_nothing_reaches_past_a_face(path: Path) -> None:
    assert _reached_past(path) == set()


def test_reaching_past_a_face_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "client" / "gate" / "file.py"
    file.parent.mkdir(parents=True)
    (tmp_path / "client" / "case").mkdir()
    file.write_text("import client.case.body\nfrom client.case import Case\nfrom client.gate.egress import Gate\n")
    monkeypatch.chdir(tmp_path)
    assert _reached_past(Path("client/gate/file.py")) == {"client.case.body"}


def _needed(path: Path, modules: Iterable[str]) -> set[str]:
    """Modules that a file must have imported before it can be; what is imported where it is used comes later."""
    needed = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            needed |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # A module taken from its folder needs that module, and of the folder's face nothing.
            needed |= names & set(modules) or {node.module}
    return needed & set(modules)


def test_no_import_goes_in_circles() -> None:
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in _sources(*PRODUCT)}
    graph = {name: _needed(path, modules) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" → ".join(cycle.args[1]))


@pytest.mark.parametrize("path", _sources("common"), ids=str)
def test_common_opens_no_socket_and_reads_no_dicom(path: Path) -> None:
    assert {name for name in _imports_of(path) if name.split(".")[0] in SOCKETS | {"pydicom", "SimpleITK"}} == set()


@pytest.mark.parametrize("path", _sources(*PRODUCT, "tests", "benchmarks"), ids=str)
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert {name for name in _imports(tree) if name.split(".")[0] in FORBIDDEN} == set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "torch.load", "torch.jit.load"}, f"{path}:{node.lineno}"


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", _sources(*PRODUCT), ids=str)
def test_no_file_outgrows_the_house(path: Path) -> None:
    assert _lines(path) <= MOST_LINES_OF_A_FILE


def test_files_stay_small_and_no_wing_becomes_a_house_of_its_own() -> None:
    lines = {path: _lines(path) for path in _sources(*PRODUCT)}
    rooms: dict[str, int] = {}
    for path, count in lines.items():
        rooms[_room(path)] = rooms.get(_room(path), 0) + count
    assert {room: count for room, count in rooms.items() if count > MOST_LINES_OF_A_WING} == {}
    assert median(lines.values()) < MEDIAN_LINES
