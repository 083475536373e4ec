"""The study of the archives' tests, and archives looked through with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.study import Study
from tests.client.archive.looked_through import Looked, looked


@pytest.fixture(scope="session")
def study(archive_study: Study) -> Study:
    return archive_study


@pytest.fixture
def look(study: Study, tmp_path: Path) -> Callable[..., Looked]:
    """Looks through what was written below a folder, each time with a state of its own."""

    def through(archive: Path, **limits: object) -> Looked:
        return looked(archive, study, Path(tempfile.mkdtemp(dir=tmp_path)), **limits)

    return through


@pytest.fixture(scope="session")
def sound_hu(head_series, study: Study, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.int16]:
    """The case of the template head, written without a fault."""
    folder = tmp_path_factory.mktemp("sound")
    head_series().write(folder / "archive")
    (volume,) = looked(folder / "archive", study, folder / "state").volumes
    return volume
