"""The study of the archives' tests, and what becomes of a series."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from client.archive import Plan, Pseudonyms, VerdictCode, discover, judge_headers
from client.case import Case, Recipe, construct_case
from common.study import Study


@pytest.fixture(scope="session")
def study(archive_study: Study) -> Study:
    return archive_study


@pytest.fixture(scope="session")
def outcome(study: Study) -> Callable[[Path], Case | VerdictCode]:
    """The case of the one series in a folder, or the verdict on it."""

    def made(folder: Path) -> Case | VerdictCode:
        (series,) = discover(folder, Pseudonyms(b"k" * 32))
        plan = judge_headers(series, study.cohort)
        if not isinstance(plan, Plan):
            return plan
        return construct_case(plan, "p" * 32, Recipe(study.grid, study.geometry, study.radiograph))

    return made


@pytest.fixture(scope="session")
def of_fault(
    archive_faults: Path, outcome: Callable[[Path], Case | VerdictCode], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Case | VerdictCode]:
    """What becomes of a faulty series, by the number that its file's name begins with."""

    def made(number: str) -> Case | VerdictCode:
        (path,) = archive_faults.glob(f"{number}_*.zip")
        folder = tmp_path_factory.mktemp("fault")
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        return outcome(folder)

    return made
