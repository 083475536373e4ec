"""A site's case files, and its crew of two CPU processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch

from client.case import Case
from client.cohort import CaseFile
from client.learning import Crew, LocalTrainer
from common.exchange import Weights, weights_of
from common.networks import build_discriminator, build_generator
from common.study import Study

CPU = torch.device("cpu")


@dataclass
class CrewSite:
    """A site's study, case files and private folder of one run, the folder's name not made for an address."""

    study: Study
    files: list[CaseFile]
    state: Path

    def crew(self, answer_seconds: float = 60.0) -> Crew:
        return Crew(self.study, self.files, self.state, CPU, 2, start_seconds=200, answer_seconds=answer_seconds)

    def alone(self, state: Path) -> LocalTrainer:
        return LocalTrainer(self.study, [file.load() for file in self.files], state, CPU)

    def broadcast(self) -> tuple[Weights, Weights]:
        return weights_of(build_generator(self.study)), weights_of(build_discriminator(self.study))

    def left(self) -> list[str]:
        return sorted(path.name for path in self.state.rglob("*"))


@pytest.fixture
def crew_site(tiny: Callable[..., Study], make_cases: Callable[..., list[Case]], tmp_path: Path) -> CrewSite:
    # Voxels of equal weight: a mean over the batch is then the mean of its shares' means.
    study = tiny(adversarial_from_step=0, body_weight=0.0, bone_weight=0.0)
    files = []
    for case in make_cases(study, 3):
        files.append(CaseFile(tmp_path / f"{case.pseudonym}.safetensors", case.pseudonym, study))
        case.save(files[-1].path)
    return CrewSite(study, files, tmp_path / "one run, as it räns")


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.fixture(autouse=True)
def others() -> Iterator[set[psutil.Process]]:
    """This process's children before a test, such as its reader of DICOM; the test leaves no other behind."""
    before = children()
    yield before
    assert children() <= before


@pytest.fixture
def the_child(others: set[psutil.Process]) -> Callable[[], psutil.Process]:
    """The only child that the test started."""

    def find() -> psutil.Process:
        (child,) = children() - others
        return child

    return find
