"""The demo's four hospitals, and what it runs with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from common.roles import Role


@final
@dataclass(frozen=True)
class VirtualHospital:
    """One hospital of the demo.

    Attributes:
        name: its name in the consortium.
        role: whether it trains or is held out.
        style: its scanner.
        patients: virtual patients whose series are sound.
        seed: of its archive.
        faults: what is wrong with the series of as many more patients.
    """

    name: str
    role: Role
    style: str
    patients: int
    seed: int
    faults: tuple[str, ...] = ()


# A real archive holds such series: of these the first eight must be refused, and of the last four none may be lost.
FAULTS = (
    "face-behind",
    "upside-down",
    "tilt-in-tag-alone",
    "block-moved",
    "offset-lost",
    "monoenergetic",
    "material-map",
    "two-patients",
    "scouts",
    "sent-twice",
    "noisy-air",
    "contrast-denied",
)
HOSPITALS = (
    VirtualHospital("north", Role.TRAIN, "toshiba", 16, 101),
    VirtualHospital("east", Role.TRAIN, "ge-hispeed", 16, 202),
    VirtualHospital("south", Role.TRAIN, "siemens", 16, 303, FAULTS),
    VirtualHospital("west", Role.EVALUATE, "picker-rt", 8, 404),
)
# Their patients have films as well; each is posed, which takes longer than to build a case.
FILM_HOSPITALS = (
    VirtualHospital("north", Role.TRAIN, "toshiba", 10, 505),
    VirtualHospital("east", Role.TRAIN, "ge-hispeed", 10, 606),
    VirtualHospital("west", Role.EVALUATE, "siemens", 6, 707),
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
        hospitals: who takes part.
        films: whether their patients have films as well.
        archives: the folder of an earlier demo whose archives and cases are used, or None to write them.
    """

    study: Path
    output: Path
    ct: Path | None
    heads: tuple[str, ...]
    port: int
    patients: int | None = None
    hospitals: tuple[VirtualHospital, ...] = HOSPITALS
    films: bool = False
    archives: Path | None = None
