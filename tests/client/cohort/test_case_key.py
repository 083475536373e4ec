"""What makes every hospital build its cases anew, and what must not."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from client.archive import Plan, SliceHeader
from client.cohort.case_key import CODE, code_sha256, folders_sha256, plan_sha256

ROOT = Path(__file__).resolve().parents[3]
# Of what else a case's code uses, the values stand in its key: headers and plans, the template, the study's sections,
# the release. Refusals and the writing of files decide nothing of what is written.
COUNTED_BY_VALUE = {
    "client.archive",
    "client.header",
    "client.phantom",
    "common.study",
    "common.trust",
    "common.errors",
    "common.files",
}
PRINT_KEY = "from client.cohort.case_key import code_sha256; print(code_sha256())"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources of client and common."""
    for package in ("client", "common"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _key_of(root: Path) -> str:
    """The key as a site that runs these sources has it."""
    # A script's own folder comes first on the path, before what is installed.
    (root / "key.py").write_text(PRINT_KEY)
    return subprocess.run(
        [sys.executable, "key.py"], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize(
    "name",
    [
        "client/cohort/verdict_wording.py",
        "client/archive/discovery.py",
        "client/archive/eligibility.py",
        "client/phantom/head_bones.py",
        "client/virtual_hospital/scanner_style.py",
        "client/learning/players.py",
        "common/study/study.py",
    ],
)
def test_words_discovery_and_virtual_hospitals_make_no_case_anew(copy: Path, name: str) -> None:
    before = folders_sha256(copy)
    with (copy / name).open("a", encoding="utf-8") as file:
        file.write("# another word\n")
    assert folders_sha256(copy) == before


@pytest.mark.parametrize(
    "name",
    ["client/case/body.py", "client/dicom/pixels.py", "common/projection/compiled/rays.py", "common/geometry.py"],
)
def test_the_code_that_makes_cases_makes_them_anew(copy: Path, name: str) -> None:
    before = folders_sha256(copy)
    with (copy / name).open("a", encoding="utf-8") as file:
        file.write("# another word\n")
    assert folders_sha256(copy) != before


def test_a_file_that_joins_the_code_of_cases_makes_them_anew(copy: Path) -> None:
    before = folders_sha256(copy)
    (copy / "client" / "case" / "new_room.py").write_text('"""A new room."""\n')
    assert folders_sha256(copy) != before


def test_virtual_anatomy_counts_by_the_template_that_it_gives(copy: Path) -> None:
    """Other random heads and other words leave the key; a thicker average skull does not."""
    assert _key_of(copy) == code_sha256()
    plan = copy / "client" / "phantom" / "head_plan.py"
    _edit(plan, "skull_mm=normal(1.1, 2.2, 6.5)", "skull_mm=normal(1.2, 2.2, 6.5)")
    _edit(copy / "client" / "phantom" / "head_bones.py", '"""The procedural', '"""Every procedural')
    assert _key_of(copy) == code_sha256()
    _edit(plan, "skull_mm: float = 6.5", "skull_mm: float = 8.5")
    assert _key_of(copy) != code_sha256()


def test_everything_that_a_cases_code_imports_stands_in_its_key() -> None:
    folders = {name.removesuffix(".py").replace("/", ".") for name in CODE}
    for path in (file for name in CODE for file in [ROOT / name, *(ROOT / name).rglob("*.py")] if file.suffix == ".py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"client", "common"}:
                known = ".".join(str(node.module).split(".")[:2])
                assert known in folders | COUNTED_BY_VALUE, f"{path.name} imports {node.module}"


@pytest.fixture
def plan(planned: Callable[..., Plan]) -> Plan:
    return planned()


@pytest.fixture
def planned() -> Callable[..., Plan]:
    """A plan of twelve slices, with what a test changes in the third."""

    def make(**changes: object) -> Plan:
        shared = dict.fromkeys(SliceHeader._fields) | {"folder": Path("a"), "name": "b", "slope": 1.0, "rows": 64}
        slices = [SliceHeader(**shared | {"instance": f"i{n}", "position": (0.0, 0.0, 3.0 * n)}) for n in range(12)]
        slices[2] = slices[2]._replace(**changes)
        return Plan(tuple(slices), spacing_mm=3.0, coverage_mm=36.0, tilt_deg=0.0, steps_mm=(3.0, 3.0))

    return make


@pytest.mark.parametrize("field", SliceHeader._fields[SliceHeader._fields.index("instance") :])
def test_what_a_header_says_is_part_of_the_key(planned: Callable[..., Plan], field: str) -> None:
    assert plan_sha256(planned(**{field: "another"})) != plan_sha256(planned())


def test_where_a_file_lies_and_when_it_was_written_is_not(planned: Callable[..., Plan]) -> None:
    moved = planned(folder=Path("elsewhere"), name="c", size_bytes=7, modified_ns=9)
    assert plan_sha256(moved) == plan_sha256(planned())


def test_order_and_spacing_of_the_slices_are_part_of_the_key(plan: Plan) -> None:
    backwards = replace(plan, slices=plan.slices[::-1])
    wider = replace(plan, spacing_mm=3.1)
    assert len({plan_sha256(one) for one in (plan, backwards, wider)}) == 3
