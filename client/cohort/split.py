"""Who is trained on and who is kept for validation: decided once per patient and study, and never turned round.

Patients are ranked by a keyed hash of study and pseudonym. New patients in rank order fill validation up to its share
of all patients seen, rounded; the rest train. Patients who may be one stay together. The decision is written down, so a
patient who was trained on never becomes a validation case when others come or go, and even a small cohort gets about
the share it asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, final

from pydantic import BaseModel, ConfigDict, ValidationError

from client.archive import Pseudonyms
from common.errors import ExitCode, Refusal
from common.files import write_atomic
from common.roles import Role
from common.study import Study

Patients = tuple[str, ...]


@final
class Split(BaseModel):
    """Patients by pseudonym in the order they were assigned."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    train: Patients = ()
    validation: Patients = ()


def split_patients(
    folder: Path,
    pseudonyms: Pseudonyms,
    study: Study,
    role: Role,
    patients: list[str],
    may_be_one: Callable[[], Sequence[frozenset[str]]] = list,
) -> tuple[Patients, Patients]:
    """Training and validation patients among those present.

    Args:
        folder: where splits are kept, one file per study.
        pseudonyms: the site's pseudonyms, whose key ranks the patients.
        study: its hash names the file and salts the rank.
        role: ``evaluate`` makes every patient a validation patient.
        patients: pseudonyms of all accepted patients.
        may_be_one: groups of patients who may be one; asked only if a patient is new.

    Returns:
        (train, validation), each sorted. At least one patient trains at a training site.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if a split file is damaged; ``DISK_FULL`` or ``DISK_UNWRITABLE``;
            ``COHORT_TOO_SMALL`` if a training site holds only patients that were kept for validation.
    """
    if role is Role.EVALUATE:
        return (), tuple(sorted(patients))
    path = folder / f"{study.sha256}.json"
    before = _read(path)
    after = _extended(before, pseudonyms, study, patients, may_be_one)
    if after != before:
        write_atomic(path, after.model_dump_json().encode(), mode=0o600)
    present = set(patients)
    train = tuple(sorted(present.intersection(after.train)))
    validation = tuple(sorted(present.intersection(after.validation)))
    if not train:
        mend = "restore the training patients to the archive, or add new ones"
        raise Refusal(ExitCode.COHORT_TOO_SMALL, "no training case is left", where="cohort", mend=mend)
    return train, validation


def _extended(
    split: Split,
    pseudonyms: Pseudonyms,
    study: Study,
    patients: list[str],
    may_be_one: Callable[[], Sequence[frozenset[str]]],
) -> Split:
    known = {*split.train, *split.validation}
    rank = {patient: pseudonyms.of("split", study.sha256, patient) for patient in patients}
    new = sorted((patient for patient in patients if patient not in known), key=rank.__getitem__)
    if not new:
        return split
    total = len(known) + len(new)
    wanted = min(round(study.cohort.validation_fraction * total), total - 1)
    # Someone must train: while nobody does, the last newcomer is kept back for it.
    most = max(wanted - len(split.validation), 0)
    if not split.train:
        most = max(min(most, len(new) - 1), 0)
    train, validation = list[str](), list[str]()
    for together in _units(new, may_be_one()):
        # Whoever may have been trained on is never validated on.
        if not together.isdisjoint(split.train):
            side = train
        elif not together.isdisjoint(split.validation):
            side = validation
        else:
            side = validation if len(validation) + len(together) <= most else train
        side.extend(patient for patient in new if patient in together)
    return Split(train=(*split.train, *train), validation=(*split.validation, *validation))


def _units(new: Sequence[str], may_be_one: Sequence[frozenset[str]]) -> Iterator[frozenset[str]]:
    """Newcomers in the order of their rank, each with whoever may be the same patient."""
    group = {patient: members for members in may_be_one for patient in members}
    done: set[str] = set()
    for patient in new:
        if patient not in done:
            together = group.get(patient, frozenset([patient]))
            done |= together
            yield together


def _read(path: Path) -> Split:
    if not path.exists():
        return Split()
    try:
        return Split.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        mend = "restore it from the site's backup, or remove it to split the patients anew"
        raise Refusal(ExitCode.SETTINGS_INVALID, "split file damaged", where=str(path), mend=mend) from error
