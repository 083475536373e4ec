"""Cases by what they were made from: equal files, study sections and code give the same file, which is built once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, final

import safetensors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.archive import Plan, Pseudonyms, VerdictCode
from client.case import FORMAT, Recipe, construct_case, films_beside
from client.cohort.case_key import bytes_sha256, code_sha256, plan_sha256
from common.files import make_folder, write_atomic

KeyedHash = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


@final
@dataclass(frozen=True)
class Outcome:
    """What became of a series.

    Attributes:
        code: its verdict.
        content: SHA-256 of the case's volume, empty unless accepted.
        case_path: the case file, None unless accepted.
        files: names in the store's folder that belong to this outcome.
    """

    code: VerdictCode
    content: str
    case_path: Path | None
    files: tuple[str, ...]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record, or None if it is missing or damaged: it is then made anew."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, path: Path) -> None:
        write_atomic(path, self.model_dump_json().encode(), mode=0o600)


@final
class _Glance(_Record):
    """Which bytes a series had when its files last looked like this."""

    key: KeyedHash


@final
class _Verdict(_Record):
    """The outcome of a series' bytes."""

    code: VerdictCode
    content: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


@final
@dataclass(frozen=True)
class CaseStore:
    """Case files and remembered outcomes of one recipe.

    A series is looked up at a glance, by its instances with sizes and times of change, and if that is unknown by its
    bytes. Every name is a keyed hash.

    Attributes:
        root: folder of all releases and recipes.
        pseudonyms: the key.
        recipe: the study's sections that decide what a case holds.
    """

    root: Path
    pseudonyms: Pseudonyms
    recipe: Recipe

    @cached_property
    def folder(self) -> Path:
        """The folder of this release and recipe, created if need be."""
        release = make_folder(self.root / code_sha256()[:16])
        return make_folder(release / self.pseudonyms.of("recipe", repr(self.recipe)))

    def remembered(self, plan: Plan, patient: str) -> Outcome | None:
        """The outcome of a series whose files look as they did when it was built; no file of the archive is read."""
        glance_path = self._glance_path(plan, patient)
        glance = _Glance.read(glance_path)
        verdict = None if glance is None else self._verdict(glance.key)
        return None if glance is None or verdict is None else self._outcome(verdict, glance.key, glance_path)

    def outcome(self, plan: Plan, patient: str) -> Outcome:
        """The outcome of a series, remembered or built now.

        Raises:
            Refusal: ``DISK_FULL``, ``DISK_UNWRITABLE`` or ``GEOMETRY_INVALID``.
        """
        known = self.remembered(plan, patient)
        if known is not None:
            return known
        digest = bytes_sha256(plan.read)
        if digest is None:
            return Outcome(VerdictCode.UNREADABLE, "", None, ())
        key = self.pseudonyms.of("case", patient, digest, plan_sha256(plan))
        verdict = self._verdict(key) or self._constructed(key, plan, patient)
        glance_path = self._glance_path(plan, patient)
        _Glance(key=key).write(glance_path)
        return self._outcome(verdict, key, glance_path)

    def prune(self, outcomes: Iterable[Outcome]) -> None:
        """Remove what belongs to no outcome, what killed builds left, and what other releases of the code built.

        A case whose series left the archive goes with it.
        """
        for release in self.root.iterdir():
            if release != self.folder.parent:
                shutil.rmtree(release)
        wanted = {name for outcome in outcomes for name in outcome.files}
        for path in self.folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def _verdict(self, key: str) -> _Verdict | None:
        verdict = _Verdict.read(self._verdict_path(key))
        if verdict is not None and verdict.content and not _is_whole(self._case_path(key)):
            return None
        return verdict

    def _constructed(self, key: str, plan: Plan, patient: str) -> _Verdict:
        case = construct_case(plan, patient, self.recipe)
        if isinstance(case, VerdictCode):
            verdict = _Verdict(code=case)
        else:
            origin = {"code_sha256": code_sha256(), "input": key}
            case = replace(case, provenance=case.provenance.model_copy(update=origin))
            case.save(self._case_path(key))
            content = hashlib.sha256(case.volume_hu.tobytes()).hexdigest()
            verdict = _Verdict(code=VerdictCode.ACCEPTED, content=content)
        # The verdict comes last: a case file without one is not believed.
        verdict.write(self._verdict_path(key))
        return verdict

    def _outcome(self, verdict: _Verdict, key: str, glance_path: Path) -> Outcome:
        films = films_beside(self._case_path(key))
        own = (self._verdict_path(key), self._case_path(key), films, films.with_suffix(".json"))
        files = (glance_path.name, *(path.name for path in own))
        return Outcome(verdict.code, verdict.content, self._case_path(key) if verdict.content else None, files)

    def _glance_path(self, plan: Plan, patient: str) -> Path:
        facts = (f"{item.instance} {item.frame} {item.size_bytes} {item.modified_ns}" for item in plan.read)
        return self.folder / f"{self.pseudonyms.of('glance', patient, plan_sha256(plan), *facts)}.glance.json"

    def _case_path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _verdict_path(self, key: str) -> Path:
        return self.folder / f"{key}.verdict.json"


def _is_whole(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="numpy") as stored:
            return (stored.metadata() or {}).get("format") == FORMAT
    except (OSError, safetensors.SafetensorError):
        return False
