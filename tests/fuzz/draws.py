"""Heads drawn, scanned and spoilt at random: each is accepted as its sound twin is, or refused for the right reason.

A twin is the same scan without the faults. Strays stand beside some, and some have two faults at once. Every head has
a dense ball on its left, so that exchanged sides are seen.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, final

import numpy as np
import typer
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from client.archive import VerdictCode
from client.case import Case
from client.cohort import examine
from client.phantom import procedural_head
from client.virtual_hospital import FAULTS, STYLES, Fault, acquire, write_series
from common.geometry import Geometry, Grid
from common.study import CohortSettings, Study

STUDY = Study(
    name="draws",
    grid=Grid(shape=(32, 32, 32), voxel_mm=7.5),
    geometry=Geometry(detector_shape=(48, 48), pixel_mm=8.0),
    cohort=CohortSettings(minimum_cases=1),
)
MATRIX, VOXEL_MM, SLICE_MM = 96, 3.2, 5.0
MARK_HU, MARK_MM, MARK_RADIUS_MM = 1200, (45.0, 10.0, 40.0), 13.0
MOST_DIFFERENCE_HU = 12.0
EXCHANGED = "SIDES EXCHANGED"
# What a fault may lead to beside acceptance, where the head is still what it was.
REASONS = {
    "face-behind": {VerdictCode.ORIENTATION_CONTRADICTS},
    "on-its-side": {VerdictCode.ORIENTATION_CONTRADICTS},
    "upside-down": {VerdictCode.ORIENTATION_CONTRADICTS},
    "mirrored": {VerdictCode.ORIENTATION_CONTRADICTS},
    "tilt-in-tag-alone": {VerdictCode.TILT_CONTRADICTS, VerdictCode.POSITIONS_CONTRADICT},
    "tilt-of-wrong-sign": {VerdictCode.TILT_CONTRADICTS, VerdictCode.POSITIONS_CONTRADICT},
    "block-moved": {VerdictCode.POSITIONS_CONTRADICT},
    "metal-wrapped": {VerdictCode.VALUES_WRAPPED},
    "offset-lost": {VerdictCode.HU_IMPLAUSIBLE},
    "monoenergetic": {VerdictCode.NOT_HU},
    "material-map": {VerdictCode.NOT_HU},
    "two-patients": {VerdictCode.MIXED_PATIENTS},
}
# What is seen without a look at the head.
_SAID = {VerdictCode.HU_IMPLAUSIBLE, VerdictCode.NOT_HU, VerdictCode.MIXED_PATIENTS}
# Two patients who share a placeholder are told by their slices alone.
NAMELESS = {"two-patients", "anonymous"}, {VerdictCode.INTERLEAVED_SCANS, VerdictCode.DUPLICATE_NUMBERS}
# A head that lies otherwise than it says may fail to look like a head at all.
NO_HEAD = {VerdictCode.NOT_A_HEAD, VerdictCode.NOT_ALIGNED, VerdictCode.INCOMPLETE_HEAD, VerdictCode.HU_IMPLAUSIBLE}
STRAYS = ("scouts", "dose-page", "reformats", "bolus-tracking")
# What happens to a series happens in this order: strays are added to slices that are spoilt already, a PACS comes last.
LAST = "recompressed"
DRAWN = (*(name for name in FAULTS if name not in (*STRAYS, LAST)), *STRAYS, LAST)
SOUND_SHARE, TWO_FAULTS_SHARE = 0.15, 0.35
# Half a turn and a mirror image from front to back are one from left to right, which nobody can tell.
UNTOLD = {"face-behind", "mirrored"}
# Styles of a tilted gantry record a lean of their own, which these faults would only add to.
UPRIGHT = tuple(name for name, style in STYLES.items() if style.gantry_tilt_deg == 0)
_LEANING = {"tilt-in-tag-alone", "tilt-of-wrong-sign", "tilt-corrected", "on-its-side"}


@final
@dataclass(frozen=True)
class Draw:
    """One head, one scanner, one fault or none; equal seeds give equal draws.

    Attributes:
        seed: of head, scanner and faults.
        chosen: names of faults, in place of those that would be drawn.
    """

    seed: int
    chosen: tuple[str, ...] | None = None

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the series: nothing, one thing, or two."""
        if self.chosen is not None:
            return tuple(FAULTS[name] for name in self.chosen)
        rng = np.random.default_rng([self.seed, 1])
        share = rng.uniform()
        count = 0 if share < SOUND_SHARE else 2 if share > 1 - TWO_FAULTS_SHARE else 1
        places = sorted(rng.choice(len(DRAWN), count, replace=False).tolist())
        faults = tuple(FAULTS[DRAWN[place]] for place in places)
        return faults[:1] if {fault.name for fault in faults} == UNTOLD else faults

    @property
    def name(self) -> str:
        """The faults in a word."""
        return " and ".join(fault.name for fault in self.faults) or "sound"

    @property
    def is_harmless(self) -> bool:
        """Whether the head is still what it was."""
        return all(fault.harmless for fault in self.faults)

    @property
    def is_leaning(self) -> bool:
        """Whether a fault has to do with how slices lean."""
        return any(fault.name in _LEANING for fault in self.faults)

    @property
    def reasons(self) -> set[VerdictCode]:
        """What the faults may lead to beside acceptance."""
        reasons = set().union(*(REASONS.get(fault.name, set()) for fault in self.faults))
        if NAMELESS[0] <= {fault.name for fault in self.faults}:
            reasons |= NAMELESS[1]
        if reasons - _SAID:
            reasons |= NO_HEAD
        # A head that is turned under a tilt, true or stated, contradicts the tilt as well.
        return reasons | {VerdictCode.TILT_CONTRADICTS} if self.is_leaning or self.style not in UPRIGHT else reasons

    @cached_property
    def style(self) -> str:
        """The scanner."""
        names = UPRIGHT if self.is_leaning else tuple(STYLES)
        return names[int(np.random.default_rng([self.seed, 2]).integers(len(names)))]

    def __str__(self) -> str:
        return f"draw {self.seed}: {self.style}, {self.name}"

    def write(self, folder: Path, faults: tuple[Fault, ...]) -> None:
        """The series as DICOM, with faults or sound."""
        cells = round(232.0 / VOXEL_MM)
        grid = Grid(shape=(cells, cells, cells), voxel_mm=VOXEL_MM)
        style = replace(STYLES[self.style], slice_mm=(SLICE_MM,))
        scan = acquire(_marked(procedural_head(self.seed, grid), grid), VOXEL_MM, style, self.seed, matrix=MATRIX)
        write_series(folder, scan, style, seed=self.seed, number=1, fault=_all(faults))

    def look(self) -> Finding:
        """What the pipeline makes of it, held against what it makes of the sound twin."""
        verdict, case = _outcome(self, self.faults)
        if not self.faults:
            return Finding(self, verdict, "" if case is not None else "a sound head is refused", case)
        _, twin = _outcome(self, ())
        return Finding(self, verdict, _problem(self, verdict, case, twin), case)


@final
@dataclass(frozen=True)
class Finding:
    """A draw, its verdict, and what is wrong with that, if anything is."""

    draw: Draw
    verdict: VerdictCode
    problem: str
    case: Case | None = field(repr=False, default=None)


def _marked(head_hu: NDArray[np.int16], grid: Grid) -> NDArray[np.int16]:
    z, y, x = np.meshgrid(*(grid.centres_mm(axis) for axis in range(3)), indexing="ij")
    ball = (x - MARK_MM[0]) ** 2 + (y - MARK_MM[1]) ** 2 + (z - MARK_MM[2]) ** 2 < MARK_RADIUS_MM**2
    return np.where(ball, np.int16(MARK_HU), head_hu)


def _all(faults: tuple[Fault, ...]) -> Fault | None:
    """Several faults as one, each on top of those before it; strays are made of slices, never of other strays."""
    if not faults:
        return None

    def change(slices: list[Dataset]) -> list[Dataset]:
        strays: list[Dataset] = []
        for fault in faults:
            changed = fault.change(slices)
            if fault.name in STRAYS:
                strays += [image for image in changed if not any(image is one for one in slices)]
            else:
                slices = changed
        return [*slices, *strays]

    return Fault("all", "several", all(fault.harmless for fault in faults), change)


def _outcome(draw: Draw, faults: tuple[Fault, ...]) -> tuple[VerdictCode, Case | None]:
    with tempfile.TemporaryDirectory(prefix="tomoray-draw-") as folder:
        root = Path(folder)
        (root / "archive").mkdir()
        draw.write(root / "archive", faults)
        findings = examine(root / "archive", STUDY, root / "state", workers=1)
        code = findings.verdicts[0].code
        case = findings.cases[0].load() if findings.cases else None
        if case is None:
            return code, None
        # The files go with the folder.
        return VerdictCode.ACCEPTED, replace(case, volume_hu=case.volume_hu.copy(), integrals=case.integrals.copy())


def _problem(draw: Draw, verdict: VerdictCode, case: Case | None, twin: Case | None) -> str:
    if case is None:
        if draw.is_harmless:
            return f"a good head is refused as {verdict.value}" if twin is not None else ""
        is_expected = verdict in draw.reasons or twin is None
        return "" if is_expected else f"refused as {verdict.value}, which is another reason"
    if twin is None:
        return ""
    difference = float(np.abs(case.volume_hu.astype(float) - twin.volume_hu).mean())
    mirrored = float(np.abs(case.volume_hu[:, :, ::-1].astype(float) - twin.volume_hu).mean())
    if mirrored < difference:
        return EXCHANGED
    limit = MOST_DIFFERENCE_HU
    return "" if difference <= limit else f"accepted, {difference:.0f} HU from its twin"


def campaign(first: int, count: int) -> Iterator[Finding]:
    """So many draws from a seed on."""
    for seed in range(first, first + count):
        yield Draw(seed).look()


def main(
    draws: Annotated[int, typer.Option(help="Heads to draw.")] = 200,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
) -> None:
    """Draw, look, count; exit code 1 if sides were exchanged or anything else is wrong."""
    started = time.monotonic()
    counts: Counter[str] = Counter()
    problems: list[str] = []
    accepted = 0
    for finding in campaign(first, draws):
        counts[f"{finding.draw.name}: {finding.verdict.value}"] += 1
        accepted += finding.verdict is VerdictCode.ACCEPTED
        if finding.problem:
            problems.append(finding.problem)
            print(f"{finding.draw}: {finding.problem}", flush=True)
        if seconds is not None and time.monotonic() - started > seconds:
            break
    for line, count in sorted(counts.items()):
        print(f"{count:6d} {line}")
    drawn = counts.total()
    print(
        f"draws: {'missed' if problems else 'met'}: {drawn} heads in {time.monotonic() - started:.0f} s, {accepted} "
        f"accepted, {drawn - accepted} refused, {problems.count(EXCHANGED)} with exchanged sides, "
        f"{len(problems)} problems; first seed {first}"
    )
    raise typer.Exit(int(bool(problems)))


if __name__ == "__main__":
    typer.run(main)
