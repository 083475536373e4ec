"""``python -m benchmarks.cohort.orientation CT``: real heads in all 48 ways that axes can be named and mirrored.

A record that is wrong is made by turning the places of the slices, never their pixels: a mirror image lies in space.
"""

from __future__ import annotations

import itertools
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.cohort.ours import planned
from benchmarks.measure import show
from client.archive import VerdictCode
from client.case import SliceStack, align, averaged, decode_stack, find_body, judge_alignment, stack_of_hu
from client.virtual_hospital import find_head, read_head

PERSONS = ("01", "02", "03", "06")
FINE_MM = 1.8
_ROOM_MM = 12.0

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Outcome:
    """What a head is found to be under a record.

    Attributes:
        orientation: (3, 3), orthogonal, from the record that is right to this one.
        margin: by which share more the best other orientation leaves unexplained.
        verdict: of the content.
    """

    orientation: Array
    margin: float
    verdict: VerdictCode

    @property
    def is_mirrored(self) -> bool:
        """Whether this record shows the patient's mirror image."""
        return bool(np.linalg.det(self.orientation) < 0)

    @property
    def is_right(self) -> bool:
        """Whether content has nothing against this record: up and front are right, right and left it cannot tell."""
        return bool(np.array_equal(np.abs(self.orientation), np.eye(3)) and (np.diag(self.orientation)[1:] > 0).all())


def orientations() -> list[Array]:
    """The 48 matrices that bring axes onto axes, mirror images among them, the identity first."""
    signs = itertools.product((1.0, -1.0), repeat=3)
    return [np.diag(sign)[list(axes)] for sign, axes in itertools.product(signs, itertools.permutations(range(3)))]


def recorded_as(stack: SliceStack, orientation: Array) -> SliceStack:
    """A stack under another record: the same slices, their places turned or mirrored, ascending."""
    row_mm, column_mm = orientation @ stack.row_mm, orientation @ stack.column_mm
    other = replace(stack, origins_mm=stack.origins_mm @ orientation.T, row_mm=row_mm, column_mm=column_mm)
    if other.positions_mm[0] > other.positions_mm[-1]:
        other = replace(other, hu=other.hu[::-1].copy(), origins_mm=other.origins_mm[::-1].copy())
    return other


def outcomes(stack: SliceStack) -> list[Outcome]:
    """The verdict on a head by its alignment, under every record.

    Raises:
        ValueError: if no body is found.
    """
    found = []
    for orientation in orientations():
        body = find_body(recorded_as(stack, orientation))
        if body is None:
            raise ValueError("a head of the benchmark shows no body")
        alignment = align(averaged(body.stack, FINE_MM), body.brain_guesses_mm)
        verdict = judge_alignment(alignment, body.cut_share)
        found.append(Outcome(orientation, alignment.orientation_margin, verdict))
    return found


def head_stack(source: Path) -> SliceStack:
    """A head as scanned, from a zip of DICOM files, or from a NIfTI file without its table."""
    if source.suffix == ".zip":
        with tempfile.TemporaryDirectory(prefix="tomoray-head-") as folder:
            with zipfile.ZipFile(source) as packed:
                packed.extractall(folder)
            return decode_stack(planned(Path(folder)).slices, FINE_MM)
    head = read_head(source, FINE_MM)
    hu = np.pad(head.volume_hu, round(_ROOM_MM / FINE_MM), constant_values=-1000).astype(np.float32)
    origins_mm = np.zeros((len(hu), 3))
    origins_mm[:, 2] = np.arange(len(hu)) * FINE_MM
    return stack_of_hu(hu, origins_mm, np.array([0.0, FINE_MM, 0.0]), np.array([FINE_MM, 0.0, 0.0]))


def row_of(person: str, found: Sequence[Outcome]) -> list[str]:
    """A head's line in the table."""
    right = [f"{outcome.margin:.3f}" for outcome in found if outcome.is_right]
    wrong = [outcome for outcome in found if not outcome.is_right]
    row = [person, *right]
    for mirrored in (False, True):
        margins = [outcome.margin for outcome in wrong if outcome.is_mirrored is mirrored]
        row.append(f"{min(margins):.3f} to {max(margins):.3f}")
    refused = sum(outcome.verdict is VerdictCode.ORIENTATION_CONTRADICTS for outcome in wrong)
    accepted = sum(outcome.verdict is VerdictCode.ACCEPTED for outcome in found if outcome.is_right)
    return [*row, f"{accepted} of {len(right)}", f"{refused} of {len(wrong)}"]


def main(
    ct: Annotated[Path, typer.Argument(help="Folder of real head CTs.")],
    threads: Annotated[int, typer.Option(help="Threads of the alignment.")] = 2,
) -> None:
    """Print a line a head; exit code 1 if one is accepted under a wrong record, or refused under the right one."""
    torch.set_num_threads(threads)
    rows, missed = [], 0
    for person in PERSONS:
        found = outcomes(head_stack(find_head(ct, person)))
        missed += sum((outcome.verdict is VerdictCode.ACCEPTED) is not outcome.is_right for outcome in found)
        rows.append(row_of(person, found))
    columns = ["head", "as recorded", "left to right", "23 others", "23 mirrored", "accepted", "contradicts"]
    show(Console(width=150), "margin of the recorded orientation", columns, rows)
    raise typer.Exit(int(missed > 0))


if __name__ == "__main__":
    typer.run(main)
