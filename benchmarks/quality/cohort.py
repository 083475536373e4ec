"""Who is trained on and who is held out: persons first, then their morphs, then deformations of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from benchmarks.quality.heads import CODE as HEAD_CODE
from benchmarks.quality.heads import FINE, PERSONS, canonical_head
from benchmarks.quality.morphs import morph
from benchmarks.quality.store import Store, code_sha256
from client.case import Case, CaseFacts, add_noise
from client.learning import Widener
from client.phantom import procedural_head
from common.geometry import Geometry
from common.study import RadiographSettings, Study, Widening

FACTOR = 2
GRID = FINE.coarser(FACTOR)
GEOMETRY = Geometry(detector_shape=(128, 128), pixel_mm=3.0)
RADIOGRAPH = RadiographSettings()
PER_PERSON, PER_MORPH, PROCEDURAL = 40, 8, 24
POSES = 4
COHORT = Widening(
    flip=0.5,
    displacement_mm=3.0,
    scale=0.07,
    rotation_deg=4.0,
    shift_mm=4.0,
    ventricles=0.3,
    skull_mm=1.5,
    bone=0.15,
    brain_hu=2.0,
    lesions=0.2,
    coverage=0.3,
    kernel=0.3,
    noise_hu=3.0,
)
# The held-out person is scanned again and again, but stays the same person.
ACQUISITION = Widening(rotation_deg=4.0, shift_mm=4.0, noise_hu=3.0)
CODE = (
    *HEAD_CODE,
    "common/attenuation.py",
    "common/projection",
    "client/learning/widening",
    "benchmarks/quality/morphs.py",
    "benchmarks/quality/cohort.py",
)
FACTS = CaseFacts.model_validate(
    dict.fromkeys(CaseFacts.model_fields, 0.0) | {"manufacturer": "other", "kvp": None, "slices": 1}
)


@final
@dataclass(frozen=True)
class TrainingCase:
    """A case with the person it is nearest to, and every person in it; a procedural head has none."""

    case: Case
    site: str
    persons: frozenset[str]


@final
@dataclass(frozen=True)
class FoldHeads:
    """The heads of a fold.

    Attributes:
        training: cases of the others, each nearest to one of their sites.
        truths_hu: (POSES, z, y, x), the held-out person in several poses.
        fine_hu: (z, y, x), the held-out person on the fine grid as the pipeline laid it.
        integrals: (POSES, 2, rows, columns), with photon noise.
    """

    training: Sequence[TrainingCase]
    truths_hu: Tensor
    fine_hu: Tensor
    integrals: Tensor


@final
class Fold:
    """One person held out. Its heads take minutes: they are built when one is asked for, and what is known needs none.

    Args:
        person: who is held out.
        build: makes the heads.
    """

    def __init__(self, person: str, build: Callable[[], FoldHeads]) -> None:
        self.person = person
        self._build = build

    @cached_property
    def heads(self) -> FoldHeads:
        """The heads, built once."""
        return self._build()

    @property
    def cases(self) -> list[Case]:
        """All training cases."""
        return [entry.case for entry in self.heads.training]

    def cases_of(self, persons: int) -> list[Case]:
        """Cases in which none but the first persons of the cohort are, and all procedural heads."""
        known = set(sorted({entry.site for entry in self.heads.training})[:persons])
        return [entry.case for entry in self.heads.training if entry.persons <= known]

    @property
    def sites(self) -> Mapping[str, list[Case]]:
        """What the hospitals could have: one site a person, and no morph, which takes persons of two sites."""
        names = sorted({entry.site for entry in self.heads.training})
        own = [entry for entry in self.heads.training if len(entry.persons) < 2]
        return {name: [entry.case for entry in own if entry.site == name] for name in names}


def study_on(grid_of: str, widening: Widening) -> Study:
    """A study on the fine or on the training grid, for its grid, geometry and widening alone."""
    grid = FINE if grid_of == "fine" else GRID
    return Study(name="quality", grid=grid, geometry=GEOMETRY, radiograph=RADIOGRAPH, widening=widening)


def fold_of(person: str, ct: Path, store: Store) -> Fold:
    """The fold that holds a person out.

    Args:
        person: who is held out.
        ct: folder that holds the heads.
        store: where heads and samples are kept; what folds share is built once.
    """
    return Fold(person, lambda: _heads(person, ct, store))


def _heads(person: str, ct: Path, store: Store) -> FoldHeads:
    training: list[TrainingCase] = []
    others = [other for other in PERSONS if other != person]
    for other in others:
        training += _entries(_samples(f"person {other}", PER_PERSON, ct, store), other, {other}, other)
        for target in others:
            if target != other:
                drawn = _samples(f"morph {other} {target}", PER_MORPH, ct, store)
                training += _entries(drawn, other, {other, target}, f"{other}{target}")
    procedural = _samples("procedural", PROCEDURAL, ct, store)
    for number, case in enumerate(_cases(procedural, "procedural")):
        training.append(TrainingCase(case, others[number % len(others)], frozenset()))
    held_out = _samples(f"held out {person}", POSES, ct, store)
    noise = torch.Generator().manual_seed(1000 + int(person))
    return FoldHeads(
        training=training,
        truths_hu=held_out["hu"].float(),
        fine_hu=canonical_head(person, ct, store),
        integrals=add_noise(held_out["integrals"], RADIOGRAPH.photons, noise),
    )


def _entries(drawn: dict[str, Tensor], site: str, persons: set[str], name: str) -> list[TrainingCase]:
    return [TrainingCase(case, site, frozenset(persons)) for case in _cases(drawn, name)]


def _cases(drawn: dict[str, Tensor], name: str) -> list[Case]:
    pairs = zip(drawn["hu"], drawn["integrals"], strict=True)
    return [
        Case(f"{name}-{number:03d}", hu.numpy(), integrals.numpy(), FACTS)
        for number, (hu, integrals) in enumerate(pairs)
    ]


def _samples(what: str, count: int, ct: Path, store: Store) -> dict[str, Tensor]:
    """Widened heads on the training grid, with line integrals from the fine one."""
    key = {"what": what, "count": count, "code": code_sha256(CODE)}
    return store.tensors("samples", key, lambda: _draw(what, count, ct, store))


def _draw(what: str, count: int, ct: Path, store: Store) -> dict[str, Tensor]:
    kind, *persons = what.removeprefix("held ").split()
    held_out = kind == "out"
    widener = Widener(study_on("fine", ACQUISITION if held_out else COHORT), torch.device("cpu"))
    random = torch.Generator().manual_seed(int.from_bytes(what.encode()[-6:], "big") % 2**31)
    still = Widener(study_on("fine", Widening()), torch.device("cpu"))
    volumes, integrals = [], []
    for number in range(count):
        base = _base(kind, persons, number, ct, store).float()[None, None]
        chosen = still if held_out and number == 0 else widener
        hu, clean = chosen.widened(base, chosen.draw(1, random))
        volumes.append(on_training_grid(hu[0, 0]))
        integrals.append(clean[0])
    return {"hu": torch.stack(volumes), "integrals": torch.stack(integrals)}


def _base(kind: str, persons: Sequence[str], number: int, ct: Path, store: Store) -> Tensor:
    if kind == "procedural":
        return torch.from_numpy(procedural_head(9000 + number, FINE))
    if kind == "morph":
        first, second = (canonical_head(person, ct, store) for person in persons)
        key = {"morph": list(persons), "code": code_sha256((*HEAD_CODE, "benchmarks/quality/morphs.py"))}
        return store.tensors("morphs", key, lambda: {"hu": morph(first, second)})["hu"]
    return canonical_head(persons[0], ct, store)


def on_training_grid(fine_hu: Tensor) -> Tensor:
    """Mean of the fine voxels in each voxel, rounded to whole HU: (z, y, x) int16."""
    mean = torch.nn.functional.avg_pool3d(fine_hu.float()[None, None], FACTOR)[0, 0]
    return torch.from_numpy(np.rint(mean.numpy()).astype(np.int16))
