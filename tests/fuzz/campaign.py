"""Sends mutated files the way of a cohort build, and watches what comes back.

Each file is found (glance, reading process, index), judged by its header, and decoded if a build would decode it. Now
and then a whole head series with some of its slices mutated is built. Watched: exceptions, time, this process's memory,
what is said anywhere, and whether the quick glance and the reading process ever disagree.
"""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self

import numpy as np
import psutil

from client.archive.discovery import discover
from client.archive.eligibility import judge_headers
from client.archive.grouping import Series
from client.archive.pseudonym import Pseudonyms
from client.archive.slice_header import SliceHeader, slice_header
from client.archive.verdict_codes import VerdictCode
from client.case.decoding import AIR_HU, UnreadablePixels, decode_slice
from client.cohort.examination import examine
from client.dicom import Fault, Reader, ReaderLimits, ReadFile
from client.phantom.anatomy import template_head
from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid
from common.study import CohortSettings, Study
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import PHI, Seed, head_slices

NAMES = Pseudonyms(b"fuzz" * 8)
BATCH = 100
SERIES_EVERY = 500
RESCAN_EVERY = 1000
REAL_SHARE = 0.05
OURS_SHARE = 0.6
READER_SECONDS = 10.0
# Of a file as large as a mutation may be, the parent may hold a few copies; of what a file claims to hold, none.
PARENT_GROWTH_BYTES = 192 << 20
# Beside what one file may take in each reading: all that a busy machine needs for a batch.
SLACK_S, SLACK_PER_FILE_S = 5.0, 0.2
PASSED_OVER, DECODED = "passed over", "decoded"
_STUDY = Study(
    name="fuzz",
    grid=Grid(shape=(16, 16, 16), voxel_mm=15.0),
    geometry=Geometry(detector_shape=(16, 16), pixel_mm=24.0),
    cohort=CohortSettings(minimum_cases=1),
)


@dataclass(frozen=True)
class Case:
    """A mutated file, which its campaign's seed and its own number make again.

    Attributes:
        number: in the campaign.
        seed: what it was made from.
        content: its bytes.
        mutations: their names, in order.
    """

    number: int
    seed: Seed
    content: bytes = field(repr=False)
    mutations: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """Something that may not happen.

    Attributes:
        what: in a few words.
        cases: one case, or the batch it happened in.
    """

    what: str
    cases: tuple[Case, ...]


@dataclass
class Report:
    """What a campaign saw so far.

    Attributes:
        cases, series, seconds: mutated files, mutated series, and the time they took.
        verdicts: how often each came back for a file.
        series_verdicts: the same for whole series.
        base_bytes, peak_bytes: this process's memory before and at most.
        findings: what may not happen.
    """

    cases: int = 0
    series: int = 0
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    series_verdicts: Counter[str] = field(default_factory=Counter)
    base_bytes: int = 0
    peak_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


def case_of(campaign: int, number: int, ours: Sequence[Seed], samples: Sequence[Seed], real: Sequence[Seed]) -> Case:
    """The case with a number: the same whenever the campaign and the seeds are."""
    rng = Random(f"{campaign}/{number}")
    share = rng.random()
    among = real if real and share < REAL_SHARE else ours if share < OURS_SHARE else samples
    seed = rng.choice(among)
    content, names = mutated(seed.content, rng)
    return Case(number, seed, content, tuple(names))


class Campaign:
    """Runs cases in batches. Use as a context manager: it holds a reading process and a temporary folder."""

    def __init__(self, campaign: int, ours: Sequence[Seed], samples: Sequence[Seed], real: Sequence[Seed] = ()) -> None:
        self.report = Report()
        self._campaign = campaign
        self._seeds = (ours, samples, real)
        self._reader = Reader(ReaderLimits(seconds=READER_SECONDS))
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        thin = template_head(Grid(shape=(40, 40, 32), voxel_mm=6.0))
        self._head = list(head_slices(np.pad(thin, ((0, 0), (4, 4), (8, 8)), constant_values=-1000)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._folder.cleanup()

    def run(self, cases: int, seconds: float | None = None) -> Iterator[Report]:
        """Run that many cases, or as long; yields the report after each batch."""
        start = time.monotonic()
        self._batch([self._case(number) for number in range(10)])
        self.report = Report(base_bytes=psutil.Process().memory_info().rss)
        _forget_peak()
        while self.report.cases < cases and (seconds is None or time.monotonic() - start < seconds):
            first = self.report.cases
            batch = [self._case(number) for number in range(first, min(first + BATCH, cases))]
            self._watched(batch)
            if first // SERIES_EVERY != (first + len(batch)) // SERIES_EVERY or first == 0:
                self._watched_series(first)
            self.report.cases += len(batch)
            self.report.seconds = time.monotonic() - start
            self.report.peak_bytes = max(self.report.peak_bytes, _peak_bytes())
            yield self.report
        growth = self.report.peak_bytes - self.report.base_bytes
        if growth > PARENT_GROWTH_BYTES:
            self.report.findings.append(Finding(f"the parent grew by {growth >> 20} MiB", ()))

    def faults(self, cases: Sequence[Case]) -> list[str]:
        """What may not happen and did, with these files alone in an archive."""
        try:
            start = time.monotonic()
            with _said() as said:
                verdicts = self._batch(cases)
            self.report.verdicts.update(verdicts)
        except Exception:  # noqa: BLE001 - whatever escapes is what is looked for
            return [f"raised {traceback.format_exc().strip().splitlines()[-1]}\n{traceback.format_exc()}"]
        taken = time.monotonic() - start
        allowed = _readings(cases) * READER_SECONDS + SLACK_S + SLACK_PER_FILE_S * len(cases)
        slow = [] if taken < allowed else [f"took {taken:.0f} s for {len(cases)} files"]
        return [*slow, *(f"said {value!r}" for value in PHI if value.encode() in b"".join(said))]

    def _case(self, number: int) -> Case:
        return case_of(self._campaign, number, *self._seeds)

    def _watched(self, batch: Sequence[Case]) -> None:
        for fault in self.faults(batch):
            alone = [(case, self.faults([case])) for case in batch]
            guilty = [(case, again[0]) for case, again in alone if again]
            if guilty:
                self.report.findings += [Finding(what, (case,)) for case, what in guilty]
            else:
                self.report.findings.append(Finding(fault, tuple(batch)))

    def _batch(self, cases: Sequence[Case]) -> list[str]:
        """The verdict on each file.

        Raises:
            AssertionError: if glance and reading process disagree, or the index forgets or invents something.
        """
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            archive, index = Path(folder) / "archive", Path(folder) / "index"
            paths = [archive / "x" / f"{case.number:06d}" for case in cases]
            paths[0].parent.mkdir(parents=True)
            for path, case in zip(paths, cases, strict=True):
                path.write_bytes(case.content)
                os.utime(path, (1e9, 1e9))
            found = _discovered(archive, index, self._reader)
            if _is_scanned_again(cases):
                again = _discovered(archive, index, self._reader)
                assert again == found, "the second scan differs from the first"
            _expect_no_phi(index)
            answers = list(self._reader.headers(paths))
            by_name = _by_name(found)
            return [
                self._verdict(path, answer, by_name.get(path.name, []))
                for path, answer in zip(paths, answers, strict=True)
            ]

    def _verdict(self, path: Path, answer: ReadFile | Fault | None, found: list[SliceHeader]) -> str:
        if not isinstance(answer, ReadFile):
            assert not found, "found what the reading process does not read"
            return PASSED_OVER if answer is None else f"unreadable ({answer})"
        expected = [
            slice_header(image, path.parent, path.name, answer.size_bytes, answer.modified_ns, NAMES)[1]
            for image in answer.images
        ]
        assert repr(found) == repr(expected), "the glance differs from the reading process"
        assert not any(value in repr(found) for value in PHI), "a header shows what names a patient"
        return self._judged(found)

    def _judged(self, found: list[SliceHeader]) -> str:
        """As a build would: headers first, then pixels."""
        code = judge_headers(Series("s" * 32, "p" * 32, tuple(found)), _STUDY.cohort)
        # Fewer slices than a head needs is what every single file is; a build would go on to decode it.
        if isinstance(code, VerdictCode) and code is not VerdictCode.TOO_FEW_SLICES:
            return code.value
        for header in found[:3]:
            if header.slope is None or header.intercept is None or not header.decodable:
                continue
            try:
                hu, _ = decode_slice(header, self._reader)
            except UnreadablePixels as error:
                assert not any(value in str(error) for value in PHI)
                return "unreadable pixels"
            assert hu.shape == (header.rows, header.columns)
            assert bool(np.isfinite(hu).all()) and float(hu.min()) >= AIR_HU
        return DECODED

    def _watched_series(self, number: int) -> None:
        rng = Random(f"{self._campaign}/series/{number}")
        slices = list(self._head)
        names: list[str] = []
        for place in rng.sample(range(len(slices)), rng.randint(0, 2)):
            slices[place], used = mutated(slices[place], rng)
            names += used
        cases = tuple(Case(number, Seed("head", b""), content, tuple(names)) for content in slices)
        try:
            with _said() as said:
                code = self._built(cases)
        except Exception:  # noqa: BLE001 - whatever escapes is what is looked for
            self.report.findings.append(Finding(f"series: {traceback.format_exc()}", cases))
            return
        if any(value.encode() in b"".join(said) for value in PHI):
            self.report.findings.append(Finding("series: said what names a patient", cases))
        self.report.series += 1
        self.report.series_verdicts[code] += 1

    def _built(self, cases: Sequence[Case]) -> str:
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            archive, state = Path(folder) / "archive", Path(folder) / "state"
            archive.mkdir()
            for place, case in enumerate(cases):
                (archive / f"{place:03d}").write_bytes(case.content)
            verdicts = examine(archive, _STUDY, state, workers=1).verdicts
            for path in state.rglob("*"):
                if path.is_file():
                    _expect_no_phi(path)
            return max(verdicts, key=lambda verdict: verdict.slices).code.value


def _is_scanned_again(cases: Sequence[Case]) -> bool:
    return cases[0].number % RESCAN_EVERY == 0


def _readings(cases: Sequence[Case]) -> int:
    """How often a batch reads a file that ends no reading: it is found, found again, and asked for its header."""
    return 3 if _is_scanned_again(cases) else 2


def _discovered(archive: Path, index: Path, reader: Reader) -> tuple[Series, ...]:
    try:
        return discover(archive, NAMES, index=index, reader=reader)
    except Refusal as refusal:
        if refusal.code is ExitCode.ARCHIVE_EMPTY:
            return ()
        raise


def _by_name(found: Sequence[Series]) -> dict[str, list[SliceHeader]]:
    by_name: dict[str, list[SliceHeader]] = {}
    for series in found:
        for header in series.slices:
            by_name.setdefault(header.name, []).append(header)
    return by_name


def _expect_no_phi(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    assert not any(value.encode() in content for value in PHI), f"{path.name} names a patient"


@contextmanager
def _said() -> Iterator[list[bytes]]:
    """What this process and its children write to standard output and error while it lasts."""
    said: list[bytes] = []
    with tempfile.TemporaryFile() as stream:
        kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        try:
            yield said
        finally:
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            stream.seek(0)
            said.append(stream.read())


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
