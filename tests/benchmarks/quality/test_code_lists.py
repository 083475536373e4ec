"""What a record's key counts as the code it follows from: all that shapes a figure, each file once."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.quality import cohort, heads
from benchmarks.quality.methods import BASELINE_CODE, FEDERATED_CODE, NETWORK_CODE
from benchmarks.quality.store import ROOT

LISTS = {
    "heads": ("benchmarks.quality.heads", heads.CODE),
    "cohort": ("benchmarks.quality.cohort", cohort.CODE),
    "baselines": ("benchmarks.quality.classical", BASELINE_CODE),
    "networks": ("benchmarks.quality.training", NETWORK_CODE),
    "federations": ("benchmarks.quality.federation", FEDERATED_CODE),
}
# Imported on the way to a figure and without a say in it.
NO_SAY = {
    "benchmarks/quality/store.py": "keeps what was computed",
    "benchmarks/quality/studies.py": "in the study's hash",
    "client/cohort": "keeps, splits, counts and words; which series is taken is counted",
    "client/evaluation": "a site's own validation and page",
    "client/gate": "lets pass or refuses",
    "client/learning/crew": "several devices; the benchmark has one",
    "client/learning/ranks.py": "several devices; the benchmark has one",
    "client/learning/trainer.py": "declares what a trainer is",
    "client/pose": "of films; the benchmark's studies see none",
    "client/radiographs": "of films; the benchmark's studies see none",
    "client/virtual_films": "of films; the benchmark's studies see none",
    "client/link": "carries; how a site works on a round is counted",
    "common/attenuation.py": "heads are HU; counted where radiographs are made",
    "common/errors.py": "words",
    "common/exchange": "messages; how weights are rounded is counted",
    "common/files.py": "reads and writes",
    "common/plausibility": "lets pass or refuses",
    "common/progress.py": "tells how far",
    "common/projection": "heads are HU; counted where radiographs are made",
    "common/roles.py": "words",
    "common/spectrum": "of films; the benchmark's studies see none",
    "common/study": "in the study's hash; the widths of named sizes are counted",
    "common/signatures.py": "signs and verifies",
    "common/trust.py": "keys and signatures",
    "server/consortium": "admits",
    "server/link": "carries",
}


def _modules() -> dict[str, Path]:
    files = [file for top in ("benchmarks", "client", "common", "server") for file in (ROOT / top).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = _modules()


def _imported(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield from ((node.module, alias.name) for alias in node.names)


def _home(module: str, name: str) -> str:
    """The module that a name comes from, through any face that hands it on."""
    if f"{module}.{name}" in MODULES:
        return f"{module}.{name}"
    if MODULES[module].name == "__init__.py":
        for behind, handed_on in _imported(MODULES[module]):
            if handed_on == name:
                return _home(behind, name)
    return module


def _reached(start: str, places: Sequence[str]) -> set[str]:
    """Every file that a module imports names of, and they in turn; what has no say passes none on."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        file = MODULES[waiting.pop()]
        name = file.relative_to(ROOT).as_posix()
        if name not in reached:
            reached.add(name)
            if _within(name, places) or not _within(name, NO_SAY):
                waiting += [_home(*one) for one in _imported(file)]
    return reached


def _within(file: str, places: Collection[str]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)


@pytest.mark.parametrize("name", LISTS)
def test_all_that_shapes_a_figure_is_counted(name: str) -> None:
    start, places = LISTS[name]
    assert {file for file in _reached(start, places) if not _within(file, (*places, *NO_SAY))} == set()


@pytest.mark.parametrize("name", LISTS)
def test_every_place_exists_and_counts_once(name: str) -> None:
    _, places = LISTS[name]
    assert [place for place in places if not (ROOT / place).exists()] == []
    assert len(places) == len(set(places))
    assert [place for place in places if _within(place, [other for other in places if other != place])] == []


def test_an_import_through_a_face_is_followed_home() -> None:
    assert _home("client.case", "find_body") == "client.case.body"
    assert "client/case/alignment.py" in _reached(*LISTS["heads"])
