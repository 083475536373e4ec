"""Starts PACS of the tests' own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests.client.pacs.orthanc import PLUGIN, Orthanc, Sent, file_bytes, image_object


@pytest.fixture(scope="session")
def needs_orthanc() -> None:
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("needs Debian's packages orthanc and orthanc-dicomweb")


@pytest.fixture
def new_orthanc(needs_orthanc: None, tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Starts an Orthanc; every one is ended with the test."""
    started: list[Orthanc] = []

    def start(**options: Any) -> Orthanc:
        started.append(Orthanc(tmp_path / f"orthanc{len(started)}", **options))
        return started[-1]

    yield start
    for orthanc in started:
        orthanc.kill()


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., Sent]:
    """Sends one series to an Orthanc."""

    def send(orthanc: Orthanc, slices: int = 6, **tags: Any) -> Sent:
        series, study = generate_uid(), generate_uid()
        contents = [file_bytes(image_object(index, series, study, **tags), tmp_path) for index in range(slices)]
        for content in contents:
            orthanc.store(content)
        return Sent(series, study, contents)

    return send
