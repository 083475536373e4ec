"""What the documents and docstrings name is there: paths, modules, names in them, make's targets, commands, options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click
import pytest
import typer

from client.cli import app as site_app
from server.cli import app as coordinator_app
from server.report_cli import app as report_app
from tests.test_imports import WINGS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PACKAGES = ("client", "server", "common", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FOLDERS = {*PACKAGES, "tests", "configs", "docker", "docs", ".ci"}
# A bare name with one of these ends is a file of the tree, unless a user or a command writes it.
ENDS = {".py", ".toml", ".md", ".yaml", ".conf", ".j2", ".css"}
WRITTEN = {"site.toml", "coordinator.toml", "sites.toml", "STUDY.toml", "benchmarks/results/quality-head-*.png"}
COMMANDS = {"tomoray-site": site_app, "tomoray-coordinator": coordinator_app, "tomoray-report": report_app}

ROLES = re.compile(r":(?:mod|class|func|meth|attr|data|exc):`~?([\w.]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
DOTTED = re.compile(rf"(?:{'|'.join([*PACKAGES, 'tests'])})(?:\.\w+)+")
MAKE = re.compile(r"^(?:\S+=\S+ )*make ([\w-]+)")


def pieces_of_code(markdown: str) -> Iterator[str]:
    """Lines of code blocks without their comments, and what stands between backticks."""
    for fence in FENCE.findall(markdown):
        yield from (line.split("#")[0].strip() for line in fence.splitlines()[1:-1])
    for line in FENCE.sub("", markdown).splitlines():
        if line.startswith("    ") and "`" not in line:
            yield line.split("#")[0].strip()
        else:
            yield from INLINE.findall(line)


def is_there(pattern: str, below: Path) -> bool:
    """Whether a path, or one that fits it where it has stars, is in the tree; folders of leftovers do not count."""
    return any(
        path.is_file() or any(file.is_file() and "__pycache__" not in file.parts for file in path.rglob("*"))
        for path in (below.glob(pattern) if "*" in pattern else [below / pattern])
    )


def is_file_name(name: str) -> bool:
    return Path(name).suffix in ENDS


def is_anywhere(name: str) -> bool:
    """Whether a file of this name is in the tree, at its root or in any of its folders."""
    return (ROOT / name).is_file() or any(is_there(f"**/{name}", ROOT / folder) for folder in FOLDERS)


def missing_paths(piece: str) -> Iterator[str]:
    for word in re.split(r"[\s,;()\[\]\"'=]+", piece):
        name = word.rstrip(".:")
        if not name or name in WRITTEN or re.search(r"[<>{}$~]|://", name):
            continue
        if name.split("/")[0] in FOLDERS and "/" in name:
            if not is_there(name, ROOT):
                yield name
        elif "/" not in name and is_file_name(name) and not is_anywhere(name):
            yield name


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            found: object = import_module(module)
        except ModuleNotFoundError as error:
            # What is named is missing itself, or what holds it is no package: look for it as a name in its parent.
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            continue
        return has(found, parts[length:])
    return False


def has(found: object, names: list[str]) -> bool:
    """Whether an object has an attribute, and that attribute the next; fields count without a value."""
    for position, name in enumerate(names):
        if not hasattr(found, name):
            fields = {field for kind in getattr(found, "__mro__", ()) for field in getattr(kind, "__annotations__", {})}
            return name in fields and position == len(names) - 1
        found = getattr(found, name)
    return True


def missing_targets(piece: str, makefile: str) -> Iterator[str]:
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
    for target in MAKE.findall(piece):
        # bench-NAME stands for any of them.
        stem = re.split(r"[A-Z]", target)[0]
        if target not in targets and (stem == target or not any(name.startswith(stem) for name in targets)):
            yield f"make {target}"


def missing_programs(piece: str) -> Iterator[str]:
    """Modules that are to be run with ``python -m`` and are no programs."""
    for module in re.findall(rf"python -m ({DOTTED.pattern})", piece):
        place = ROOT.joinpath(*module.split("."))
        program = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        if not program.is_file() or "__main__" not in f"{program.name} {program.read_text(encoding='utf-8')}":
            yield f"{module} runs nothing"


def missing_commands(piece: str) -> Iterator[str]:
    """Commands, subcommands and options of ours that a line names and the parsers do not know."""
    words = piece.split()
    if not words or words[0] not in COMMANDS:
        return
    command: click.Command = typer.main.get_command(COMMANDS[words[0]])
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            yield f"{words[0]} {rest[0]}"
            return
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    yield from (f"{words[0]}: {word}" for word in rest if word.startswith("--") and word not in known)


def faults(markdown: str, folder: Path) -> list[str]:
    """What a document in a folder names and the tree does not have."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = [
        target
        for target in LINK.findall(FENCE.sub("", markdown))
        if "://" not in target and not target.startswith("#") and not is_there(target.split("#")[0], folder)
    ]
    for piece in pieces_of_code(markdown):
        found += missing_paths(piece)
        found += [name for name in DOTTED.findall(piece) if not is_file_name(name) and not resolves(name)]
        found += missing_targets(piece, makefile)
        found += missing_programs(piece)
        found += missing_commands(piece)
    return found


@dataclass(frozen=True)
class Reference:
    """A name in a docstring, and the classes that the docstring stands in, from the outermost."""

    name: str
    classes: tuple[str, ...]


def references(tree: ast.AST, classes: tuple[str, ...] = ()) -> Iterator[Reference]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from (Reference(name, classes) for name in ROLES.findall(node.value.value))
        yield from references(node, (*classes, node.name) if isinstance(node, ast.ClassDef) else classes)


def names_in(tree: ast.AST) -> set[str]:
    """Names that a file defines or imports: what can be known of it where a peer that it needs is not installed."""
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return defined | {node.asname or node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}


def needs_an_absent_peer(module: str) -> bool:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        return (error.name or "").split(".")[0] not in PACKAGES
    return False


def dead_references(source: str, module: str) -> list[str]:
    """References in a module's docstrings to what is not there: by their whole name, here, or in the class."""
    tree = ast.parse(source)
    if needs_an_absent_peer(module):
        known = names_in(tree)
        return [found.name for found in references(tree) if found.name not in known and not resolves(found.name)]
    return [
        reference.name
        for reference in references(tree)
        if not any(
            resolves(place)
            for place in (
                f"{module}.{reference.name}",
                ".".join((module, *reference.classes, reference.name)),
                *([reference.name] if "." in reference.name else []),
            )
        )
    ]


def paths_in_docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from re.findall(r"``([^`\s]+/[^`\s]+)``", node.value.value)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_document_names_is_there(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8"), path.parent) == []


def test_the_documents_show_every_wing_in_its_order() -> None:
    rules, house = ((ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "ARCHITECTURE.md"))
    for side, wings in WINGS.items():
        assert " → ".join(wings) in " ".join(rules.split())
        assert [wing for wing in wings if f"`{side}/{wing}/`" not in house] == []


def _with_references() -> list[Path]:
    return [path for path in SOURCES if ROLES.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", _with_references(), ids=lambda path: path.relative_to(ROOT).as_posix())
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_a_docstring_refers_to_is_there(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    assert dead_references(path.read_text(encoding="utf-8"), module) == []


def test_paths_that_docstrings_name_are_there() -> None:
    found = {path: list(paths_in_docstrings(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert any(found.values()), "the pattern finds nothing any more"
    assert {path: gone for path, named in found.items() if (gone := [n for n in named if list(missing_paths(n))])} == {}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("see `client/cohort/counts.py` and `client/archive/counts.py`", "client/archive/counts.py"),
        ("see `client/case/`, `client/cases/`", "client/cases/"),
        ("compiled code (`lanes*.py`, `compiled_*.py`)", "compiled_*.py"),
        ("a file `wordings.py`, not `wording.py`", "wordings.py"),
        ("`configs/demo.toml` or `cranial-drr-1024.toml`", "cranial-drr-1024.toml"),
        ("[the house](ARCHITECTURE.md), [here](https://example.org/x), [gone](docs/gone.md)", "docs/gone.md"),
        ("`client.dicom.reader_process` starts `client.dicom.writer_process`", "client.dicom.writer_process"),
        ("`common.metrics.case_metrics`, `common.metrics.case_metric`", "common.metrics.case_metric"),
        ("`make bench-NAME`, `make test`, `make tests`", "make tests"),
        ("prose may make anything\n\n    make demo  # comment: make it\n    make demos\n", "make demos"),
        (
            "    python -m benchmarks.step  # a program\n    python -m benchmarks.measure\n",
            "benchmarks.measure runs nothing",
        ),
        ("    tomoray-site ledger show /state\n    tomoray-site ledger burn /state\n", "tomoray-site burn"),
        ("```toml\na = 1\n```\n`tomoray-site cohort --json --jsn`", "tomoray-site: --jsn"),
    ],
)
def test_what_is_missing_from_the_tree_is_found_in_a_document(text: str, missing: str) -> None:
    assert faults(text, ROOT) == [missing]


def test_dead_references_are_found_in_docstrings() -> None:
    source = '''
"""See :mod:`common.geometry`, :func:`parse_document`, :mod:`common.geometries`, :func:`parse_documents`."""
class Study:
    """:meth:`from_toml` is one of :class:`Study`; :attr:`grid` a field; :meth:`from_yaml` none."""
'''
    assert dead_references(source, "common.study.study") == ["common.geometries", "parse_documents", "from_yaml"]
