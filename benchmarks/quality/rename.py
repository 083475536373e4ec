"""``python -m benchmarks.quality.rename REVISION``: records renamed from that revision's keys to this tree's.

For a change after which every result is still the same, such as a move or a wording: nothing here can tell whether it
is. A record that follows from other code than the revision's stays as it is and is named.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, final

import typer
from rich.console import Console

from benchmarks.quality.store import ROOT, record_name, record_text

RECORDS = Path("benchmarks", "results", "quality")
PROBE = Path(__file__).with_name("record_keys.py")
SAME, RENAMED = "already under this tree's key", "renamed"
OLDER = "follows from other code than the revision's"
UNKNOWN = "this tree has no such method, person or finding"
TAKEN = "a record of its new key is already there"

Key = dict[str, Any]


@final
@dataclass(frozen=True)
class Record:
    """A record on disk: what it says under ``key`` decides its name."""

    path: Path
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        """``results`` or ``findings``."""
        return self.path.parent.name

    @property
    def key(self) -> Key:
        """The whole key, its source included."""
        key: Key = self.content["key"]
        return key

    @property
    def told(self) -> str:
        """The record in words."""
        what = f", {self.key['what']}" if "what" in self.key else ""
        return f"{self.kind}/{self.path.name}: {self.key['method']}, head {self.key['person']}{what}"


def main(
    revision: Annotated[str, typer.Argument(help="Whose code the records' keys follow from.")],
    dry_run: Annotated[bool, typer.Option(help="Say what would be done and do nothing.")] = False,
) -> None:
    """Rename every record that this tree's code would compute again to the same figures; say which stay."""
    console = Console(width=200, highlight=False)
    outcome = rename_all(ROOT, revision, dry_run=dry_run)
    for record, became in outcome:
        if became not in (SAME, RENAMED):
            console.print(f"{record.told}: {became}", soft_wrap=True)
    counts = {became: sum(other == became for _, other in outcome) for became in (RENAMED, SAME)}
    without = len(outcome) - sum(counts.values())
    told = "would be renamed" if dry_run else RENAMED
    console.print(f"{counts[RENAMED]} {told}, {counts[SAME]} {SAME}, {without} without a counterpart")


def rename_all(root: Path, revision: str, *, dry_run: bool = False) -> list[tuple[Record, str]]:
    """Rename a repository's records and stage it; what became of each.

    Args:
        root: the repository's work tree.
        revision: whose code the records' keys follow from.
        dry_run: whether files stay as they are.

    Raises:
        typer.BadParameter: if there is no such revision.
    """
    records = read_records(root / RECORDS)
    with tempfile.TemporaryDirectory(prefix="tomoray-revision-") as folder:
        _unpack(root, revision, Path(folder))
        old = keys_of(Path(folder).resolve(), records)
    outcome = rename(records, old, keys_of(root, records), dry_run=dry_run)
    if not dry_run:
        subprocess.run(["git", "add", "--all", "--", RECORDS.as_posix()], cwd=root, check=True)
    return outcome


def read_records(folder: Path) -> list[Record]:
    """Every record below a folder."""
    paths = sorted(folder.glob("*/*.json"))
    return [Record(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def rename(
    records: Sequence[Record], old: Sequence[Key | None], new: Sequence[Key | None], *, dry_run: bool = False
) -> list[tuple[Record, str]]:
    """Rename records; what became of each.

    Args:
        records: as they are on disk.
        old: the key of each in the revision's tree, None where that has none.
        new: the same in this tree.
        dry_run: whether files stay as they are.
    """
    outcome = []
    for record, was, will in zip(records, old, new, strict=True):
        known = {name: value for name, value in record.key.items() if name != "source"}
        if known == will:
            became = SAME
        elif known != was:
            became = OLDER
        elif will is None:
            became = UNKNOWN
        else:
            became = _move(record, {"source": record.key["source"]} | will, dry_run=dry_run)
        outcome.append((record, became))
    return outcome


def _move(record: Record, key: Key, *, dry_run: bool) -> str:
    target = record.path.with_name(record_name(key))
    if target.exists():
        return TAKEN
    if not dry_run:
        record.path.rename(target)
        target.write_text(record_text(key, record.content), encoding="utf-8")
    return RENAMED


def keys_of(tree: Path, records: Sequence[Record]) -> list[Key | None]:
    """The keys that a tree's code gives to what records describe, asked in a process that imports that tree alone."""
    asked = json.dumps([{"kind": record.kind, "key": record.key} for record in records])
    done = subprocess.run(
        [sys.executable, "-P", str(PROBE)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        input=asked,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    keys: list[Key | None] = json.loads(done.stdout.splitlines()[-1])
    return keys


def _unpack(root: Path, revision: str, folder: Path) -> None:
    asked = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    known = subprocess.run(asked, cwd=root, stdout=subprocess.PIPE, text=True)
    if known.returncode:
        raise typer.BadParameter(f"no revision {revision} in this repository")
    packed = subprocess.run(["git", "archive", known.stdout.strip()], cwd=root, check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")


if __name__ == "__main__":
    typer.run(main)
