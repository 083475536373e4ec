"""Scripted sites on an in-process grid: each adds its own number to every weight and reports fixed statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from flwr.app import Error, Message

from common.exchange import (
    CohortFlow,
    EvaluateReply,
    Kind,
    MethodStatistics,
    MetricSums,
    RegisterReply,
    TrainLosses,
    TrainReply,
    pack,
    read_request,
    train_manifests,
    unpack_weights,
)
from common.roles import Role
from common.study import Study
from server.consortium import AdmittedSite
from server.link import InProcessGrid, Line
from server.rounds import Asker, EventLog, RoundLoop, RunContext, RunDirectory, prepare_run
from tests.letters import KEYS, SignedSite, line_of

CASES = {"east": 2, "north": 3, "south": 5, "west": 0}
LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2, adversarial=0.1, discriminator=0.3)
Tamper = Callable[[Message, Message], Message]


@dataclass
class ScriptedSite:
    """Answers as a well-behaved site would, unless ``tamper`` changes the reply to a training request."""

    name: str
    role: Role
    study: Study
    delta: float
    tamper: Tamper | None = None
    asked: list[str] = field(default_factory=list)
    received: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    def answer(self, message: Message) -> Message:
        kind = Kind(message.metadata.message_type)
        request = read_request(message.content, kind)
        self.asked.append(f"{kind.value}:{getattr(request, 'round', 0)}")
        if kind is not Kind.REGISTER:
            manifest = train_manifests(self.study)["generator"]
            self.received[kind.value] = manifest.unpack(message.content.array_records["generator"])
        if kind is Kind.REGISTER:
            return self._register(message, request)
        if kind is Kind.EVALUATE:
            return self._evaluate(message, request)
        reply = self._train(message, request)
        return self.tamper(message, reply) if self.tamper else reply

    def _register(self, message, request) -> Message:
        trains = self.role is Role.TRAIN
        used = CASES[self.name] + (1 if trains else 4)
        reply = RegisterReply(
            study_sha256=request.study_sha256,
            run=request.run,
            role=self.role,
            train_cases=CASES[self.name],
            evaluation_cases=1 if trains else 4,
            flow=CohortFlow(found=20, eligible=15, used=used, excluded={"not_ct": 20 - used}),
            release="0.1.0",
            device="cpu",
        )
        return Message(pack(reply), reply_to=message)

    def _train(self, message, request) -> Message:
        manifests = train_manifests(self.study)
        weights = unpack_weights(message.content, manifests)
        moved = {network: {k: t + self.delta for k, t in values.items()} for network, values in weights.items()}
        reply = TrainReply(
            study_sha256=request.study_sha256,
            run=request.run,
            round=request.round,
            cases=CASES[self.name],
            steps=self.study.optimisation.steps_per_round,
            skipped_steps=0,
            seconds=0.1,
            losses=LOSSES,
        )
        return Message(pack(reply, {n: (manifests[n], moved[n]) for n in manifests}), reply_to=message)

    def _evaluate(self, message, request) -> Message:
        held_out = self.role is Role.EVALUATE
        psnr = MetricSums(cases=4, total=80.0, total_of_squares=1600.5)
        ssim = MetricSums(cases=4, total=2.0, total_of_squares=1.25)
        statistics = (MethodStatistics(method="generator", metrics={"psnr_db": psnr, "ssim": ssim}),)
        reply = EvaluateReply(
            study_sha256=request.study_sha256,
            run=request.run,
            round=request.round,
            cases=4 if held_out else 1,
            suppressed=not held_out,
            seconds=0.1,
            methods=statistics if held_out else (),
        )
        return Message(pack(reply), reply_to=message)


@dataclass
class Bench:
    """A consortium of scripted sites and the folder of a run."""

    study: Study
    admitted: dict[str, AdmittedSite]
    path: Path
    sites: dict[str, ScriptedSite]
    stop: bool = False
    wait_for_sites_s: float = 10.0
    on_round: Callable[[], None] = lambda: None
    refresh: Callable[[], None] = lambda: None
    nodes: dict[str, int] = field(default_factory=dict)
    line: Line | None = None

    def signed(self, name: str) -> SignedSite:
        return SignedSite(self.sites[name].answer, KEYS[name])

    def run(self) -> RunDirectory:
        self.nodes = nodes = {name: number for number, name in enumerate(sorted(self.sites), start=101)}
        grid = InProcessGrid({nodes[name]: self.signed(name).answer for name in self.sites})
        self.line = line_of(grid, nodes, KEYS)
        directory = RunDirectory(self.path)
        record = prepare_run(self.study, directory)
        context = RunContext(
            study=self.study,
            run=record.run,
            admitted=self.admitted,
            directory=directory,
            asker=Asker(self.line, lambda: self.stop),
            refresh=self.refresh,
            events=EventLog(directory.events),
            reask_wait_s=0.01,
        )
        RoundLoop(context, record, wait_for_sites_s=self.wait_for_sites_s, on_round=self.on_round).run()
        return directory


@pytest.fixture
def bench(study: Study, admitted: dict[str, AdmittedSite], tmp_path: Path) -> Iterator[Bench]:
    deltas = {"east": 0.025, "north": -0.05, "south": 0.1, "west": 0.0}
    sites = {name: ScriptedSite(name, admitted[name].role, study, deltas[name]) for name in admitted}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Bench(study, admitted, tmp_path / "run", sites)
    torch.set_num_threads(threads)


def refuse(reason: str) -> Tamper:
    return lambda message, _reply: Message(Error(code=200, reason=reason), reply_to=message)
