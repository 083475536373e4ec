"""The demo's four hospitals, and what it runs with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from common.roles import Role


@final
@dataclass(frozen=True)
class VirtualHospital:
    """One hospital of the demo: its scanner, its patients, its role."""

    name: str
    role: Role
    style: str
    patients: int
    seed: int


HOSPITALS = (
    VirtualHospital("north", Role.TRAIN, "toshiba", 16, 101),
    VirtualHospital("east", Role.TRAIN, "ge-hispeed", 16, 202),
    VirtualHospital("south", Role.TRAIN, "siemens", 16, 303),
    VirtualHospital("west", Role.EVALUATE, "picker-rt", 8, 404),
)


@final
@dataclass(frozen=True)
class DemoPlan:
    """What the demo runs.

    Attributes:
        study: the study file.
        output: the run's folder; replaced where it holds an earlier demo.
        ct: folder with real head CTs, or None for procedural heads.
        heads: with ``ct``, file prefixes of the heads of the hospitals in order.
        port: loopback port, or 0 for a free one.
        patients: virtual patients of every hospital, or None for each hospital's own number.
    """

    study: Path
    output: Path
    ct: Path | None
    heads: tuple[str, ...]
    port: int
    patients: int | None = None
