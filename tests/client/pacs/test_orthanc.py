"""A real PACS: searched, retrieved, killed, and asked again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from client.pacs import synchronise
from tests.client.pacs.orthanc import Orthanc, Sent, keyed_name


def _contents(archive: Path) -> dict[str, bytes]:
    return {str(path.relative_to(archive)): path.read_bytes() for path in archive.rglob("*") if path.is_file()}


def test_what_the_pacs_has_is_retrieved_once(
    new_orthanc: Callable[..., Orthanc], fill: Callable[..., Sent], tmp_path: Path
) -> None:
    orthanc = new_orthanc()
    fill(orthanc)
    fill(orthanc, 4)
    archive = synchronise(orthanc.settings(), tmp_path / "pacs", keyed_name)
    first = _contents(archive)
    assert len(first) == 10
