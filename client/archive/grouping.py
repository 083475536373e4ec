"""From files to series: by series identifier, or by study where each slice has an identifier of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, final

from client.archive.index import PACKED
from client.archive.index_file import FolderFindings
from client.archive.pseudonym import Pseudonyms
from client.archive.slice_header import SliceHeader

# Series so short, and so many in a study, are one series whose slices have identifiers of their own.
LONGEST_FRAGMENT: Final = 2
FEWEST_FRAGMENTS: Final = 10
# Where slices are scattered like that, a series too short for a head may hold some of them beside its own.
LONGEST_BESIDE: Final = 9


@final
@dataclass(frozen=True)
class Series:
    """The image objects of one series, in no order.

    Attributes:
        series, patient: pseudonyms. A patient without an identifier is known by the study.
        slices: one header per readable object.
        unreadable: whether this stands for damaged DICOM files whose series is unknown.
        packed: whether this stands for packed files.
        others: pseudonyms of further patients, whom one series cannot have.
    """

    series: str
    patient: str
    slices: tuple[SliceHeader, ...]
    unreadable: bool = False
    packed: bool = False
    others: tuple[str, ...] = ()

    @property
    def is_by_study(self) -> bool:
        """Whether the patient has no identifier, so that the study stands for the patient."""
        return bool(self.slices) and self.patient == self.slices[0].study


def grouped(findings: Sequence[FolderFindings], pseudonyms: Pseudonyms) -> tuple[Series, ...]:
    """Every series of an archive in the order of their pseudonyms, then folders with damaged or packed files."""
    found: dict[str, list[SliceHeader]] = defaultdict(list)
    patients: dict[str, dict[str, None]] = defaultdict(dict)
    for folder in findings:
        start = 0
        for (series, patient), run in groupby(folder.owners):
            end = start + sum(1 for _ in run)
            found[series].extend(folder.slices[start:end])
            patients[series][patient] = None
            start = end
    _join_fragments(found, patients, pseudonyms)
    readable = [
        Series(name, next(iter(patients[name])), tuple(slices), others=tuple(patients[name])[1:])
        for name, slices in sorted(found.items())
    ]
    return (*readable, *_without_series(findings, pseudonyms))


def _without_series(findings: Sequence[FolderFindings], pseudonyms: Pseudonyms) -> Iterator[Series]:
    for kind in ("folder", "packed files"):
        is_packed = kind != "folder"
        folders = [
            folder.folder
            for folder in findings
            if min(folder.counts) < 0 and any(count < 0 and (count == PACKED) == is_packed for count in folder.counts)
        ]
        for name in sorted({pseudonyms.of(kind, str(folder)) for folder in folders}):
            yield Series(name, name, (), unreadable=not is_packed, packed=is_packed)


def _join_fragments(
    found: dict[str, list[SliceHeader]], patients: dict[str, dict[str, None]], pseudonyms: Pseudonyms
) -> None:
    """Put series of a slice or two together, patient by patient and study by study, where they are many."""
    short: dict[tuple[str, str], list[str]] = defaultdict(list)
    for series, slices in found.items():
        if len(slices) <= LONGEST_BESIDE and len(patients[series]) == 1:
            short[next(iter(patients[series])), slices[0].study].append(series)
    for (patient, study), names in short.items():
        if sum(len(found[name]) <= LONGEST_FRAGMENT for name in names) >= FEWEST_FRAGMENTS:
            joined = pseudonyms.of("series of fragments", patient, study)
            patients[joined] = {patient: None}
            found[joined] = [header for name in names for header in found.pop(name)]
