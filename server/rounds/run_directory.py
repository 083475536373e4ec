"""A run on disk: what it is, its checkpoints, its rounds. Every write is atomic, so a kill costs at most a round.

run.json                         the run, written once the sites have registered
rounds.jsonl                     one line for each finished round
events.jsonl                     what happens now, for terminals; losing it costs nothing
checkpoints/round-000003/        generator.safetensors, discriminator.safetensors, training.json, and where the study
                                 keeps a running average generator_average.safetensors, which is what is evaluated
incoming/round-000003/           checked replies of the round in progress
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import final

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.files import append_line, disk_refusals, make_folder, read_tensors, sync, write_atomic, write_tensors
from server.rounds.record import RoundRecord, RunRecord, SiteTraining

KEPT_CHECKPOINTS = 3
_TRAINING = TypeAdapter(tuple[SiteTraining, ...])

NetworkWeights = dict[str, dict[str, Tensor]]


@final
class RunDirectory:
    """The folder of one run; created where absent."""

    def __init__(self, path: Path) -> None:
        self.path = make_folder(path, mode=0o755)
        self._checkpoints = make_folder(path / "checkpoints")

    @property
    def events(self) -> Path:
        """File of live events."""
        return self.path / "events.jsonl"

    def run_record(self) -> RunRecord | None:
        """The run, or None before its sites registered.

        Raises:
            Refusal: ``RUN_INVALID`` if the file is damaged.
        """
        path = self.path / "run.json"
        if not path.exists():
            return None
        try:
            return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise _invalid("run.json is damaged", path) from error

    def write_run_record(self, record: RunRecord) -> None:
        """Write ``run.json``."""
        write_atomic(self.path / "run.json", record.model_dump_json(indent=1).encode(), mode=0o644)

    def rounds(self) -> Iterator[RoundRecord]:
        """Finished rounds, oldest first. A torn last line is a kill in mid-write and is skipped.

        Raises:
            Refusal: ``RUN_INVALID`` if any other line is damaged.
        """
        path = self.path / "rounds.jsonl"
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        for number, line in enumerate(lines[:-1], start=1):
            try:
                yield RoundRecord.model_validate_json(line)
            except ValidationError as error:
                raise _invalid(f"line {number} is damaged", path) from error

    def append_round(self, record: RoundRecord) -> None:
        """Append a finished round, cutting off a torn line first."""
        path = self.path / "rounds.jsonl"
        if path.exists():
            data = path.read_bytes()
            if data and not data.endswith(b"\n"):
                with disk_refusals(path), path.open("r+b") as stream:
                    stream.truncate(data.rfind(b"\n") + 1)
        append_line(path, record.model_dump_json(), mode=0o644)

    def checkpoints(self) -> tuple[int, ...]:
        """Numbers of the complete checkpoints that are kept, oldest first; 0 is the initial weights."""
        return tuple(sorted(int(folder.name.removeprefix("round-")) for folder in self._checkpoints.glob("round-*")))

    def latest_checkpoint(self) -> int | None:
        """Number of the newest complete checkpoint."""
        return max(self.checkpoints(), default=None)

    def write_checkpoint(
        self, number: int, weights: Mapping[str, Mapping[str, Tensor]], training: tuple[SiteTraining, ...]
    ) -> None:
        """Write a round's weights and its training outcomes as one: the folder appears whole or not at all.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``; earlier checkpoints stay.
        """
        temporary = self._checkpoints / f".round-{number:06d}.tmp"
        with disk_refusals(self._checkpoints):
            try:
                shutil.rmtree(temporary, ignore_errors=True)
                make_folder(temporary)
                for network, tensors in weights.items():
                    write_tensors(temporary / f"{network}.safetensors", tensors, mode=0o644)
                write_atomic(temporary / "training.json", _TRAINING.dump_json(training), mode=0o644)
                temporary.rename(self._checkpoint(number))
                sync(self._checkpoints)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        self._drop_old_checkpoints()
        shutil.rmtree(self.incoming(number), ignore_errors=True)

    def read_checkpoint(self, number: int) -> tuple[NetworkWeights, tuple[SiteTraining, ...]]:
        """Weights by network, and the training outcomes of the round.

        Raises:
            Refusal: ``RUN_INVALID`` if the checkpoint is missing or damaged.
        """
        folder = self._checkpoint(number)
        weights = {path.stem: read_tensors(path) for path in sorted(folder.glob("*.safetensors"))}
        if "generator" not in weights:
            raise _invalid("checkpoint has no generator", folder)
        try:
            return weights, _TRAINING.validate_json((folder / "training.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise _invalid("training.json is missing or damaged", folder) from error

    def incoming(self, number: int) -> Path:
        """Folder for checked replies of a round in progress."""
        return self.path / "incoming" / f"round-{number:06d}"

    def _checkpoint(self, number: int) -> Path:
        return self._checkpoints / f"round-{number:06d}"

    def _drop_old_checkpoints(self) -> None:
        for old in sorted(self._checkpoints.glob("round-*"))[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)


def _invalid(what: str, path: Path) -> Refusal:
    mend = "restore it from a backup, or start a new run in another folder"
    return Refusal(ExitCode.RUN_INVALID, what, where=str(path), mend=mend)
