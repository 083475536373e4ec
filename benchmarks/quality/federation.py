"""Three sites trained by the coordinator's own round loop and the sites' own app, in one process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message

from benchmarks.quality.training import Sites, Trained
from client.case import Case
from client.cohort import CaseFile, Cohort
from client.gate import Approvals, Desk, Gate, Ledger
from client.link import SiteApp, StudyWork, Workbench, works_by_study
from common.averaging import released
from common.exchange import CohortFlow
from common.files import make_folder
from common.progress import ProgressFile
from common.roles import Role
from common.signatures import SigningKey
from common.study import Study
from common.trust import load_private_key, new_site_key
from server.consortium import admit
from server.link import Addressee, InProcessGrid, Line
from server.rounds import Asker, EventLog, RoundLoop, RunContext, RunDirectory, prepare_run

_FIRST_NODE = 100
_PATIENCE_S = 60.0


def train_federated(study: Study, sites: Sites, say: Callable[[int], None]) -> Trained:
    """All rounds of a study over sites that keep their cases and their moments.

    Args:
        study: rounds, and steps of each site in a round.
        sites: training cases by site.
        say: told the number of each finished round.
    """
    started = time.process_time()
    with tempfile.TemporaryDirectory(prefix="tomoray-quality-") as folder:
        root = Path(folder)
        names = {f"site-{name}": cases for name, cases in sites.items()}
        nodes = {name: _FIRST_NODE + number for number, name in enumerate(names)}
        coordinator = SigningKey(Ed25519PrivateKey.generate())
        keys = {name: SigningKey(load_private_key(new_site_key()[0], where=name)) for name in names}
        desks = {name: Desk(key, coordinator.verifying) for name, key in keys.items()}
        apps = {nodes[name]: _site(study, cases, root / name, desks[name]) for name, cases in names.items()}
        addressees = {name: Addressee(node, keys[name].verifying) for name, node in nodes.items()}
        # One site at a time: threads of several would only stand in each other's way.
        grid = InProcessGrid(apps, workers=1)
        directory = RunDirectory(root / "run")
        record = prepare_run(study, directory)
        context = RunContext(
            study=study,
            run=record.run,
            admitted={name: admit(name, Role.TRAIN, keys[name].verifying.openssh) for name in names},
            directory=directory,
            asker=Asker(Line(grid, addressees, coordinator), lambda: False),
            events=EventLog(directory.events),
        )
        RoundLoop(
            context, record, wait_for_sites_s=_PATIENCE_S, on_round=lambda: say(directory.latest_checkpoint() or 0)
        ).run()
        weights, _ = directory.read_checkpoint(study.federation.rounds)
    steps = study.federation.rounds * study.optimisation.steps_per_round
    return Trained(study, released(weights), steps, time.process_time() - started)


def _site(study: Study, cases: Sequence[Case], state: Path, desk: Desk) -> Callable[[Message], Message]:
    make_folder(state / "cases")
    files = []
    for number, case in enumerate(cases):
        path = state / "cases" / f"{number:04d}.safetensors"
        case.save(path)
        files.append(CaseFile(path, case.pseudonym, study))
    flow = CohortFlow(found=len(files), eligible=len(files), used=len(files), excluded={})
    cohort = Cohort(train=tuple(files), validation=(), flow=flow, verdicts=())
    bench = Workbench(Role.TRAIN, state, torch.device("cpu"), 0, ProgressFile(state), lambda: False)
    works = works_by_study({study.sha256: StudyWork(study, cohort, bench)})
    app = SiteApp(Role.TRAIN, Approvals({study.sha256: study}), Gate(Ledger(state / "ledger"), desk), works)
    return lambda message: app.answer(message).message
