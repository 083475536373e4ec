"""Live events of a run for terminals: one JSON line each, best effort, never read back by the round loop."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, final

from pydantic import BaseModel, ConfigDict, ValidationError

EventKind = Literal[
    "waiting",
    "registered",
    "round_started",
    "trained",
    "flagged",
    "aggregated",
    "evaluated",
    "round_ended",
    "finished",
    "problem",
]


@final
class Event(BaseModel):
    """Something that happened. ``site`` is empty where the event concerns the round as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: EventKind
    at: str
    round: int = 0
    rounds: int = 0
    site: str = ""
    detail: str = ""
    values: dict[str, float] = {}


@final
class EventLog:
    """The file ``events.jsonl`` of a run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(
        self,
        kind: EventKind,
        *,
        round_number: int = 0,
        rounds: int = 0,
        site: str = "",
        detail: str = "",
        values: dict[str, float] | None = None,
    ) -> None:
        """Append an event."""
        event = Event(
            kind=kind,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            round=round_number,
            rounds=rounds,
            site=site,
            detail=detail,
            values=values or {},
        )
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(event.model_dump_json() + "\n")


def follow(path: Path, offset: int) -> tuple[list[Event], int]:
    """Complete events after byte ``offset``, and the offset to continue from."""
    if not path.exists():
        return [], offset
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read()
    end = data.rfind(b"\n") + 1
    return list(_parsed(data[:end])), offset + end


def _parsed(data: bytes) -> Iterator[Event]:
    for line in data.splitlines():
        try:
            yield Event.model_validate_json(line)
        except ValidationError:
            continue
