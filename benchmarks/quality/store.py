"""What was computed once stays on disk under a hash of all it follows from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, final

from torch import Tensor

from common.files import make_folder, read_tensors, write_atomic, write_tensors

ROOT = Path(__file__).parents[2]


@final
class Store:
    """A folder of tensors and one of records; several runs may share them.

    Args:
        folder: made where it is missing, readable by its owner alone.
        records: where records are kept, if not beside the tensors; a machine without the tensors can read them too.
        source: hash of the data that all of it follows from; a part of every key.
    """

    def __init__(self, folder: Path, records: Path | None = None, *, source: str = "") -> None:
        self._folder = make_folder(folder)
        self._records = records or self._folder
        self._source = source

    def tensors(self, kind: str, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of a key; made and kept where there are none."""
        path = self._tensor_path(kind, key)
        if not path.exists():
            write_tensors(path, make())
        return read_tensors(path)

    def find_tensors(self, kind: str, key: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """The tensors of a key, or None."""
        path = self._tensor_path(kind, key)
        return read_tensors(path) if path.exists() else None

    def keep_tensors(self, kind: str, key: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors under a key."""
        write_tensors(self._tensor_path(kind, key), dict(tensors))

    def find_record(self, kind: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of a key, or None."""
        path = self._record_path(kind, key)
        if not path.exists():
            return None
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record

    def keep_record(self, kind: str, key: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Keep a record under a key, the key with it."""
        path = self._record_path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, record_text(self._whole(key), record).encode(), mode=0o644)

    def _tensor_path(self, kind: str, key: Mapping[str, Any]) -> Path:
        return make_folder(self._folder / kind) / f"{_digest(self._whole(key))}.safetensors"

    def _record_path(self, kind: str, key: Mapping[str, Any]) -> Path:
        return self._records / kind / record_name(self._whole(key))

    def _whole(self, key: Mapping[str, Any]) -> dict[str, Any]:
        return {"source": self._source} | dict(key)


def record_name(whole_key: Mapping[str, Any]) -> str:
    """The name of the file that keeps the record of a key, its source included."""
    return f"{_digest(whole_key)}.json"


def record_text(whole_key: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """What that file holds."""
    return json.dumps(dict(record) | {"key": dict(whole_key)}, indent=1, sort_keys=True) + "\n"


def _digest(whole_key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(whole_key), sort_keys=True).encode()).hexdigest()[:24]


_SOURCES = (".py", ".safetensors")


def code_sha256(places: Iterable[str]) -> str:
    """A hash of source files: of each place below the repository's root, a file or a folder with all below it, tables
    included."""
    digest = hashlib.sha256()
    for place in sorted(places):
        path = ROOT / place
        inside = sorted(file for file in path.rglob("*") if file.suffix in _SOURCES)
        for file in inside if path.is_dir() else [path]:
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
