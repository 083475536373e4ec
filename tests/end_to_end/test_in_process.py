"""The sites' own app and the coordinator's own round loop, joined by a grid without sockets or processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from flwr.app import Message

from client.cohort import build_cohort
from client.gate import Approvals, Desk, Gate, Ledger
from client.link import SiteApp, StudyWork, Workbench, works_by_study
from client.virtual_hospital import STYLES, write_virtual_archive
from common.progress import ProgressFile
from common.roles import Role
from common.signatures import SigningKey
from common.study import Study
from server.consortium import admit
from server.link import InProcessGrid
from server.rounds import Asker, EventLog, Outcome, RoundLoop, RunContext, RunDirectory, prepare_run
from tests.letters import COORDINATOR, line_of, new_key

ROLES = {"north": Role.TRAIN, "south": Role.TRAIN, "west": Role.EVALUATE}
KEYS = {name: new_key() for name in ROLES}
PATIENTS = 4


@dataclass
class Hospital:
    """One site's app on a folder of its own."""

    name: str
    folder: Path
    study: Study

    @property
    def key(self) -> SigningKey:
        return KEYS[self.name]

    def app(self) -> Callable[[Message], Message]:
        role, state = ROLES[self.name], self.folder / "state"
        cohort = build_cohort(self.folder / "archive", self.study, role, state)
        bench = Workbench(role, state, torch.device("cpu"), 2, ProgressFile(state), lambda: False)
        works = works_by_study({self.study.sha256: StudyWork(self.study, cohort, bench)})
        gate = Gate(Ledger(state / "ledger"), Desk(self.key, COORDINATOR.verifying))
        app = SiteApp(role, Approvals({self.study.sha256: self.study}), gate, works)
        return lambda message: app.answer(message).message


@pytest.fixture(scope="module")
def study(small_study: str) -> Study:
    return Study.from_text(small_study.replace("rounds = 6", "rounds = 3"), where="test")


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory, study: Study) -> dict[str, Hospital]:
    root = tmp_path_factory.mktemp("hospitals")
    for seed, name in enumerate(ROLES, start=1):
        style = STYLES["ge-hispeed"]
        write_virtual_archive(root / name / "archive", patients=PATIENTS, style=style, seed=seed, matrix=128)
    return {name: Hospital(name, root / name, study) for name in ROLES}


def _run(hospitals: dict[str, Hospital], study: Study, path: Path) -> RunDirectory:
    nodes = {name: 100 + number for number, name in enumerate(hospitals)}
    # One site at a time: the order of arrival is then the order of asking.
    grid = InProcessGrid({nodes[name]: hospital.app() for name, hospital in hospitals.items()}, workers=1)
    directory = RunDirectory(path)
    record = prepare_run(study, directory)
    context = RunContext(
        study=study,
        run=record.run,
        admitted={name: admit(name, role, KEYS[name].verifying.openssh) for name, role in ROLES.items()},
        directory=directory,
        asker=Asker(line_of(grid, nodes, KEYS), lambda: False),
        events=EventLog(directory.events),
    )
    RoundLoop(context, record, wait_for_sites_s=20.0, on_round=lambda: None).run()
    return directory


@pytest.fixture(scope="module")
def finished(hospitals: dict[str, Hospital], study: Study, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    torch.set_num_threads(1)
    return _run(hospitals, study, tmp_path_factory.mktemp("run"))


def test_every_round_trains_both_sites_and_validates_the_held_out(finished: RunDirectory) -> None:
    rounds = list(finished.rounds())
    assert [record.round for record in rounds] == [1, 2, 3]
    for record in rounds:
        assert {entry.site: entry.outcome for entry in record.training} == dict.fromkeys(
            ("north", "south"), Outcome.ACCEPTED
        )
        west = next(entry for entry in record.evaluation if entry.site == "west")
        assert {method.method for method in west.methods} == {
            "generator",
            "own_skull_mean_brain",
            "mean_volume",
            "template",
            "back_projection",
        }
        assert west.methods[0].metrics["psnr_db"].cases == PATIENTS


def test_training_moves_the_network_and_lowers_its_loss(finished: RunDirectory) -> None:
    rounds = list(finished.rounds())
    losses = [entry.losses.reconstruction for record in rounds for entry in record.training if entry.site == "north"]
    assert losses[-1] < losses[0]
    assert len({record.generator_sha256 for record in rounds}) == 3
    assert len({record.discriminator_sha256 for record in rounds}) == 3


def test_the_same_seeds_give_the_same_generator_bit_for_bit(
    finished: RunDirectory, hospitals: dict[str, Hospital], study: Study, tmp_path: Path
) -> None:
    again = _run(hospitals, study, tmp_path / "run")
    first = [record.generator_sha256 for record in finished.rounds()]
    assert [record.generator_sha256 for record in again.rounds()] == first
    assert again.run_record().run != finished.run_record().run


def test_a_repeated_request_is_answered_from_disk_without_training_again(
    finished: RunDirectory, hospitals: dict[str, Hospital]
) -> None:
    replies = sorted((hospitals["north"].folder / "state" / "replies").rglob("round-000003/*.safetensors"))
    assert replies
    before = [path.stat().st_mtime_ns for path in replies]
    # The coordinator lost the last round: its checkpoint and its record.
    shutil.rmtree(finished.path / "checkpoints" / "round-000003")
    lines = (finished.path / "rounds.jsonl").read_text().splitlines(keepends=True)
    (finished.path / "rounds.jsonl").write_text("".join(lines[:-1]))
    again = _run(hospitals, next(iter(hospitals.values())).study, finished.path)
    assert list(again.rounds())[-1].generator_sha256 == json.loads(lines[-1])["generator_sha256"]
    assert [path.stat().st_mtime_ns for path in replies] == before
