"""What the coordinator tells the process of the round loop, which it starts without importing."""

from __future__ import annotations

from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict


@final
class RoundOrder(BaseModel):
    """What the round loop's process is told.

    Attributes:
        study: path of the study file.
        run: the run's folder.
        admissions: path of the admissions file, which is read again before each round.
        signing: folder with the key that signs requests.
        address: host and port of the SuperLink.
        ca_certificate: PEM that verifies it.
        secret: what acquires the run's task, in hex.
        flower_run: Flower's id of the run to take.
        wait_for_sites_s: patience for sites before the first round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    study: Path
    run: Path
    admissions: Path
    signing: Path
    address: str
    ca_certificate: str
    secret: str
    flower_run: int
    wait_for_sites_s: float
