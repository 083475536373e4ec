"""What the processes of a crew are told and what they say, as files in the round's private folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, final

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import ExitCode, Refusal
from common.exchange import Weights, joined, parted
from common.files import read_tensors, write_atomic, write_tensors
from common.study import Study

RENDEZVOUS = "rendezvous"
_ORDER = "order.json"
_BROADCAST = "broadcast.safetensors"


@final
class CrewOrder(BaseModel):
    """One round for a crew.

    Attributes:
        study: what is trained and how.
        cases: the site's case files, in the order that batches are drawn from.
        state: the run's private folder; only rank 0 writes there.
        round: number of the round, from 1.
        device: the kind of device; each rank takes the one of its number.
        count: number of ranks.
        threads: CPU threads of each.
        answer_seconds: how long one may keep the others waiting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    study: Study
    cases: tuple[Path, ...]
    state: Path
    round: Annotated[int, Field(ge=1)]
    device: Literal["cpu", "cuda"]
    count: Annotated[int, Field(ge=2)]
    threads: Annotated[int, Field(ge=1)]
    answer_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    def device_of(self, rank: int) -> torch.device:
        """Where a rank computes."""
        return torch.device("cuda", rank) if self.device == "cuda" else torch.device("cpu")

    def write(self, folder: Path, generator: Weights, discriminator: Weights | None) -> None:
        """Write order, broadcast weights and an empty meeting place.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
        """
        networks = {"generator": generator} | ({} if discriminator is None else {"discriminator": discriminator})
        write_tensors(folder / _BROADCAST, joined(networks))
        write_atomic(folder / RENDEZVOUS, b"")
        write_atomic(folder / _ORDER, self.model_dump_json().encode())

    @classmethod
    def read(cls, folder: Path) -> tuple[Self, dict[str, dict[str, torch.Tensor]]]:
        """The order of a round and its broadcast weights by network.

        Raises:
            Refusal: ``RUN_INVALID`` if the weights are missing or damaged.
        """
        order = cls.model_validate_json((folder / _ORDER).read_bytes())
        return order, parted(read_tensors(folder / _BROADCAST))


@final
class Complaint(BaseModel):
    """Why a process ends early: what it refused, or the bare name of what it did not expect."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    code: ExitCode
    what: str
    where: str
    mend: str

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        """A refusal to be written."""
        return cls(code=refusal.code, what=refusal.what, where=refusal.where, mend=refusal.mend)

    @classmethod
    def read(cls, folder: Path, rank: int) -> Refusal | None:
        """What a rank refused, or None if it did not say."""
        try:
            said = cls.model_validate_json(_complaint(folder, rank).read_bytes())
        except (OSError, ValidationError):
            return None
        return Refusal(said.code, said.what, where=said.where, mend=said.mend)

    def write(self, folder: Path, rank: int) -> None:
        """Say it; raises as :func:`write_atomic` does."""
        write_atomic(_complaint(folder, rank), self.model_dump_json().encode())


def say_ready(folder: Path, rank: int) -> None:
    """Say that a rank is about to meet the others; raises as :func:`write_atomic` does."""
    write_atomic(_ready(folder, rank), b"")


def is_ready(folder: Path, rank: int) -> bool:
    """Whether a rank has said so."""
    return _ready(folder, rank).exists()


def _ready(folder: Path, rank: int) -> Path:
    return folder / f"ready-{rank}"


def _complaint(folder: Path, rank: int) -> Path:
    return folder / f"complaint-{rank}.json"
