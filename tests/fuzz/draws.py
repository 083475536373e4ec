"""Heads drawn, scanned and spoilt at random: each is accepted as its sound twin is, or refused for the right reason.

A twin is the same scan without the fault. Every head has a dense ball on its left, so that exchanged sides are seen.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, final

import numpy as np
import typer
from numpy.typing import NDArray

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
}
# A head that lies otherwise than it says may fail to look like a head at all.
NO_HEAD = {VerdictCode.NOT_A_HEAD, VerdictCode.NOT_ALIGNED, VerdictCode.INCOMPLETE_HEAD, VerdictCode.HU_IMPLAUSIBLE}
HARMLESS = ("tilt-corrected", "padding-4095", "padding-beyond-bits", "padding-zero", "noisy-air", "unknown-charset")
DRAWN = (*REASONS, *HARMLESS)
# Styles of a tilted gantry record a lean of their own, which these faults would only add to.
UPRIGHT = tuple(name for name, style in STYLES.items() if style.gantry_tilt_deg == 0)
_LEANING = {"tilt-in-tag-alone", "tilt-of-wrong-sign", "tilt-corrected", "on-its-side"}


@final
@dataclass(frozen=True)
class Draw:
    """One head, one scanner, one fault or none; equal seeds give equal draws."""

    seed: int

    @cached_property
    def fault(self) -> Fault | None:
        """What is wrong with the series."""
        rng = np.random.default_rng([self.seed, 1])
        return None if rng.uniform() < 0.15 else FAULTS[DRAWN[int(rng.integers(len(DRAWN)))]]

    @cached_property
    def style(self) -> str:
        """The scanner."""
        names = UPRIGHT if self.fault is not None and self.fault.name in _LEANING else tuple(STYLES)
        return names[int(np.random.default_rng([self.seed, 2]).integers(len(names)))]

    def __str__(self) -> str:
        return f"draw {self.seed}: {self.style}, {'sound' if self.fault is None else self.fault.name}"

    def write(self, folder: Path, fault: Fault | None) -> None:
        """The series as DICOM, with a fault or sound."""
        cells = round(232.0 / VOXEL_MM)
        grid = Grid(shape=(cells, cells, cells), voxel_mm=VOXEL_MM)
        style = replace(STYLES[self.style], slice_mm=(SLICE_MM,))
        scan = acquire(_marked(procedural_head(self.seed, grid), grid), VOXEL_MM, style, self.seed, matrix=MATRIX)
        write_series(folder, scan, style, seed=self.seed, number=1, fault=fault)

    def look(self) -> Finding:
        """What the pipeline makes of it, held against what it makes of the sound twin."""
        verdict, case = _outcome(self, self.fault)
        if self.fault is None:
            return Finding(self, verdict, "" if case is not None else "a sound head is refused", case)
        _, twin = _outcome(self, None)
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


def _outcome(draw: Draw, fault: Fault | None) -> tuple[VerdictCode, Case | None]:
    with tempfile.TemporaryDirectory(prefix="tomoray-draw-") as folder:
        root = Path(folder)
        (root / "archive").mkdir()
        draw.write(root / "archive", fault)
        findings = examine(root / "archive", STUDY, root / "state", workers=1)
        code = findings.verdicts[0].code
        case = findings.cases[0].load() if findings.cases else None
        if case is None:
            return code, None
        # The files go with the folder.
        return VerdictCode.ACCEPTED, replace(case, volume_hu=case.volume_hu.copy(), integrals=case.integrals.copy())


def _problem(draw: Draw, verdict: VerdictCode, case: Case | None, twin: Case | None) -> str:
    fault = draw.fault
    assert fault is not None
    if case is None:
        if fault.harmless:
            return f"a good head is refused as {verdict.value}" if twin is not None else ""
        expected = REASONS[fault.name] | (NO_HEAD if VerdictCode.HU_IMPLAUSIBLE not in REASONS[fault.name] else set())
        if draw.style not in UPRIGHT:
            # A head that is turned under a tilted gantry contradicts the tilt as well.
            expected = expected | {VerdictCode.TILT_CONTRADICTS}
        return "" if verdict in expected or twin is None else f"refused as {verdict.value}, which is another reason"
    if twin is None:
        return ""
    difference = float(np.abs(case.volume_hu.astype(float) - twin.volume_hu).mean())
    mirrored = float(np.abs(case.volume_hu[:, :, ::-1].astype(float) - twin.volume_hu).mean())
    if mirrored < difference:
        return "SIDES EXCHANGED"
    limit = MOST_DIFFERENCE_HU
    return "" if difference <= limit else f"accepted, {difference:.0f} HU from its twin"


def campaign(first: int, count: int) -> Iterator[Finding]:
    """So many draws from a seed on."""
    for seed in range(first, first + count):
        yield Draw(seed).look()


def main(
    draws: Annotated[int, typer.Option(help="Heads to draw.")] = 200,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
) -> None:
    """Draw, look, count; exit code 1 if sides were exchanged or anything else is wrong."""
    counts: Counter[str] = Counter()
    problems = 0
    for finding in campaign(first, draws):
        name = "sound" if finding.draw.fault is None else finding.draw.fault.name
        counts[f"{name}: {finding.verdict.value}"] += 1
        if finding.problem:
            problems += 1
            print(f"{finding.draw}: {finding.problem}", flush=True)
    for line, count in sorted(counts.items()):
        print(f"{count:6d} {line}")
    print(f"draws: {'missed' if problems else 'met'}: {draws} heads, {problems} problems")
    raise typer.Exit(int(problems > 0))


if __name__ == "__main__":
    typer.run(main)
