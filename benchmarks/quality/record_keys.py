"""Which keys a tree's own code gives to results and findings: run with that tree first in the path, whatever its age.

It asks for them as the benchmark does and looks at what is looked for, so that no rule of keys stands here again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, final

from benchmarks.quality import methods
from benchmarks.quality.heads import PERSONS

RESULTS, FINDINGS = "results", "findings"
# What a record of either kind must have for its reader.
_EMPTY = {"poses": [], "cpu_s": 0.0, "steps": 0, "note": "", "shown": []}


@final
class KeyNote:
    """Stands in for a store: finds an empty record of everything and notes what was looked for."""

    def __init__(self) -> None:
        self.keys: dict[str, Mapping[str, Any]] = {}

    def find_record(self, kind: str, key: Mapping[str, Any]) -> dict[str, Any]:
        """An empty record."""
        self.keys[kind] = key
        return dict(_EMPTY)


def key_now(kind: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The key that this tree gives to what another's key describes; None where it knows no such method or person.

    Args:
        kind: ``results`` or ``findings``.
        key: with the method, the person, and where they count the seed, the budget, and what was found.
    """
    method, person = key["method"], key["person"]
    if method not in (*methods.METHODS, *methods.EXTRAS, *_oracles()) or person not in PERSONS:
        return None
    note = KeyNote()
    fold = cast("Any", SimpleNamespace(person=person))
    runner = methods.Runner(fold, cast("Any", note), key.get("seed", 1), key.get("budget_s", 0.0), lambda _: None)
    if kind == FINDINGS:
        runner.findings(method, key["what"], lambda *_: [])
    else:
        runner.result(method, only_known=True)
    noted = note.keys.get(kind)
    return None if noted is None else dict(noted)


def _oracles() -> tuple[str, ...]:
    """The oracles of a tree that has any."""
    return tuple(getattr(methods, "ORACLES", ()))


def main(asked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """The keys of ``{"kind": ..., "key": ...}``, in order.

    Raises:
        RuntimeError: if the code that answers is not that of the working directory.
    """
    if not Path(methods.__file__).is_relative_to(Path.cwd()):
        raise RuntimeError(f"{methods.__file__} is not of the tree {Path.cwd()}")
    return [key_now(one["kind"], one["key"]) for one in asked]


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
