"""Brings the site's copy in line with what a PACS holds: retrieves what is new, removes what is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from client.dicom import Fault, Identity, NotWritable, ObjectReader, deidentified
from client.pacs.connection import PacsConnection, silent_libraries
from client.pacs.patience import MOST_SERVER_FAULTS, Patience
from client.pacs.search import FoundSeries, search_series, series_instances
from client.pacs.session import ServerFault, Stopped, Withheld
from client.pacs.settings import PacsSettings
from client.pacs.store import KeyedName, PacsStore
from common.errors import ExitCode, Refusal
from common.files import make_folder
from common.processes import sole_process

log = logging.getLogger("tomoray.pacs")

MOST_FAULTS_IN_A_ROW = 20
_LOOK_SECONDS = 0.2
_SECONDS_A_DAY = 86_400

Result = TypeVar("Result")


@final
@dataclass(frozen=True, slots=True)
class PacsProgress:
    """How far a synchronisation is: series looked at, of those found, and objects retrieved by now."""

    done: int
    total: int
    objects: int


def synchronise(
    settings: PacsSettings, folder: Path, name: KeyedName, progress: Callable[[PacsProgress], None] | None = None
) -> Path:
    """The folder with every series that a PACS has for these settings, each object without what names a patient.

    What was retrieved before is not asked for again, whenever and however the work was ended. A series is in the folder
    only when all of its objects are. A PACS that stays silent leaves the folder as the last complete synchronisation
    left it, if there was one.

    Args:
        settings: the PACS and what is wanted of it.
        folder: place of the site's copy.
        name: the site's keyed hash: a kind and the values to name, 32 hex digits.
        progress: called several times a second in this thread; what it raises ends the work.

    Raises:
        Refusal: ``PACS_UNREACHABLE``, ``PACS_REFUSED``, ``ARCHIVE_EMPTY`` if nothing is found, ``SETTINGS_INVALID``,
            ``DISK_FULL``, ``DISK_UNWRITABLE``, ``CHILD_FAILED``, or what ``progress`` refuses.
    """
    with sole_process(make_folder(folder) / "lock"), silent_libraries():
        store = PacsStore(folder, name)
        try:
            _Synchronisation(settings, store, name, progress).run()
        except Refusal as refusal:
            if refusal.code is not ExitCode.PACS_UNREACHABLE or not store.has_complete(settings.criteria()):
                raise
            log.warning("%s: going on with what the last complete synchronisation left", refusal.what)
    return store.archive


@final
class _Synchronisation:
    """One run; its threads share what is counted here, under a lock."""

    def __init__(
        self,
        settings: PacsSettings,
        store: PacsStore,
        name: KeyedName,
        progress: Callable[[PacsProgress], None] | None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._name = name
        self._progress = progress
        self._halt = threading.Event()
        self._patience = Patience(settings.patience_seconds, self._halt, settings.url)
        self._lock = threading.Lock()
        self._total = self._done = self._objects = self._unfinished = self._faults_in_a_row = 0

    def run(self) -> None:
        with ThreadPoolExecutor(self._settings.connections) as pool:
            try:
                (found,) = self._watched([pool.submit(self._search)])
                wanted = self._chosen(found)
                self._total = len(wanted)
                lost = self._store.keep_only(wanted)
                queue = iter(wanted.items())
                self._watched([pool.submit(self._retrieve, queue) for _ in range(self._settings.connections)])
            finally:
                self._halt.set()
        self._store.set_complete(self._settings.criteria())
        log.info("PACS: %d series, %d objects retrieved, %d series gone", self._total, self._objects, lost)
        if self._unfinished:
            log.warning("PACS: %d series left out, some of their objects are not given readable", self._unfinished)

    def _watched(self, futures: Iterable[Future[Result]]) -> list[Result]:
        """The results, progress being told meanwhile; the first failure ends the others."""
        every = list(futures)
        pending = set(every)
        while pending:
            done, pending = wait(pending, _LOOK_SECONDS, FIRST_EXCEPTION)
            if any(future.exception() is not None for future in done):
                self._halt.set()
            self._tell()
        failures = [error for future in every if (error := future.exception()) is not None]
        # A thread that was stopped says less than the one it was stopped for.
        for error in sorted(failures, key=lambda failure: isinstance(failure, Stopped)):
            raise error
        return [future.result() for future in every]

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(PacsProgress(self._done, self._total, self._objects))

    def _search(self) -> tuple[FoundSeries, ...]:
        connection = PacsConnection(self._settings, self._halt)
        try:
            return search_series(self._settings, connection, self._patience)
        finally:
            connection.close()

    def _chosen(self, found: tuple[FoundSeries, ...]) -> dict[str, FoundSeries]:
        """The series by name; of too many the same ones each time."""
        if not found:
            mend = "correct modality, body_part, descriptions or study_dates"
            where = self._settings.url
            raise Refusal(ExitCode.ARCHIVE_EMPTY, "the PACS finds no series", where=where, mend=mend)
        named = sorted((self._store.series_name(series), series) for series in found)
        most = self._settings.most_series
        if len(named) > most:
            log.warning("PACS: %d series found, %d taken; raise most_series to have more", len(named), most)
        return dict(named[:most])

    def _retrieve(self, queue: Iterator[tuple[str, FoundSeries]]) -> None:
        """Retrieve series until none is left."""
        connection = PacsConnection(self._settings, self._halt)
        try:
            with ObjectReader() as reader:
                while (entry := self._next(queue)) is not None:
                    is_whole = self._series(*entry, connection, reader)
                    with self._lock:
                        self._done += 1
                        self._unfinished += not is_whole
        finally:
            connection.close()

    def _next(self, queue: Iterator[tuple[str, FoundSeries]]) -> tuple[str, FoundSeries] | None:
        with self._lock:
            return next(queue, None)

    def _series(self, series: str, found: FoundSeries, connection: PacsConnection, reader: ObjectReader) -> bool:
        """Retrieve what is missing of a series; whether all of it is here."""
        if found.instances is not None and found.instances == self._store.count(series):
            self._store.drop_unfinished(series)
            return True
        try:
            instances = series_instances(found, connection, self._patience, self._settings.url)
        except Withheld:
            return False
        given = [self._object(series, found, uid, connection, reader) for uid in self._store.missing(series, instances)]
        if not all(given):
            return False
        self._store.hand_on(series, instances)
        return True

    def _object(
        self, series: str, found: FoundSeries, uid: str, connection: PacsConnection, reader: ObjectReader
    ) -> bool:
        """Retrieve one object and keep it; whether it is what was asked for and can be read."""
        try:
            content = self._patience.ask(
                lambda: connection.retrieve(found.study, found.series, uid), MOST_SERVER_FAULTS
            )
        except ServerFault:
            self._count_fault()
            return False
        except Withheld:
            return False
        self._faults_in_a_row = 0
        received = reader.read(content)
        if received is None or isinstance(received, Fault):
            return False
        first = received.images[0]
        if (first.study, first.series, first.sop_instance) != (found.study, found.series, uid):
            return False
        has_patient, frame = bool(first.patient_id), first.frame_of_reference
        identity = Identity(
            sop_instance=_uid(self._store.instance_name(uid)),
            series=_uid(series),
            study=_uid(self._name("pacs study", found.study)),
            patient_id=self._name("pacs patient", first.patient_id, first.issuer) if has_patient else "",
            frame_of_reference=frame and _uid(self._name("pacs frame of reference", frame)),
            clock_shift_s=int(self._name("pacs clock", found.series)[:8], 16) % _SECONDS_A_DAY,
        )
        try:
            parts = deidentified(received, identity)
        except NotWritable:
            return False
        self._store.keep(series, self._store.instance_name(uid), parts)
        with self._lock:
            self._objects += 1
        return True

    def _count_fault(self) -> None:
        with self._lock:
            self._faults_in_a_row += 1
        if self._faults_in_a_row >= MOST_FAULTS_IN_A_ROW:
            what, mend = "the PACS fails over one object after another", "see the PACS's own log, then start again"
            raise Refusal(ExitCode.PACS_UNREACHABLE, what, where=self._settings.url, mend=mend)


def _uid(name: str) -> str:
    """A UID made of a keyed hash of 128 bits (PS3.5 B.2)."""
    return f"2.25.{int(name, 16)}"
