"""The study of the archives' tests."""

from __future__ import annotations

import pytest

from common.study import Study


@pytest.fixture(scope="session")
def study(archive_study: Study) -> Study:
    return archive_study
