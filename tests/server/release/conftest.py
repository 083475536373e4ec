"""Runs of scripted sites as the real round loop leaves them on disk, of a study with a running average."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.study import Study
from server.consortium import AdmittedSite
from tests.server.rounds.conftest import Bench, ScriptedSite

DELTAS = {"east": 0.025, "north": -0.05, "south": 0.1, "west": 0.0}


@pytest.fixture
def averaging(study_text: str) -> Study:
    return Study.from_text(f"{study_text}\n[optimisation]\nema_decay = 0.99\n", where="test")


@pytest.fixture
def bench(averaging: Study, admitted: dict[str, AdmittedSite], tmp_path: Path) -> Iterator[Bench]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sites = {name: ScriptedSite(name, admitted[name].role, averaging, DELTAS[name]) for name in admitted}
    yield Bench(averaging, admitted, tmp_path / "run", sites)
    torch.set_num_threads(threads)


@pytest.fixture
def run(bench: Bench) -> Path:
    return bench.run().path


@pytest.fixture(scope="session")
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
