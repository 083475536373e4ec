"""What a site does for one approved study: its cohort, its training, its evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from client.cohort import Cohort
from client.evaluation import GalleryEntry, StudyEvaluation, write_gallery
from client.learning import Crew, LocalTrainer, Trainer, TrainOutcome
from client.link.replies import FinishedReplies
from common.exchange import (
    EvaluateReply,
    EvaluateRequest,
    RegisterReply,
    RegisterRequest,
    TrainReply,
    TrainRequest,
    joined,
    weights_sha256,
)
from common.progress import Phase, ProgressFile, SiteProgress
from common.roles import Role
from common.study import Study
from common.trust import RELEASE

GALLERY_EVERY_S = 60.0

WeightsByNetwork = dict[str, dict[str, Tensor]]


@final
@dataclass(frozen=True)
class Workbench:
    """What all of a site's work shares.

    Attributes:
        role: what this site is in its studies.
        state: the site's state folder.
        device: where networks run.
        gallery_cases: cases on the local page.
        progress: where the site says what it is doing.
        stop: asked between steps; true ends the work early.
        devices: how many devices of this kind train together.
    """

    role: Role
    state: Path
    device: torch.device
    gallery_cases: int
    progress: ProgressFile
    stop: Callable[[], bool]
    devices: int = 1


@final
class StudyWork:
    """The work of one site in one study.

    Args:
        study: the approved study.
        cohort: the site's cases.
        bench: what the site's work shares.
    """

    def __init__(self, study: Study, cohort: Cohort, bench: Workbench) -> None:
        self.study = study
        self._cohort = cohort
        self._bench = bench
        self._replies = FinishedReplies(bench.state / "replies")
        self._trainers: dict[str, Trainer] = {}
        self._evaluation: StudyEvaluation | None = None
        self._gallery_at = float("-inf")

    def register(self, request: RegisterRequest) -> RegisterReply:
        """The site's role and case numbers."""
        return RegisterReply(
            study_sha256=request.study_sha256,
            run=request.run,
            role=self._bench.role,
            train_cases=len(self._cohort.train),
            evaluation_cases=len(self._cohort.validation),
            flow=self._cohort.flow,
            release=RELEASE,
            device=_device_name(self._bench.device),
        )

    def train(self, request: TrainRequest, weights: WeightsByNetwork) -> tuple[TrainReply, WeightsByNetwork]:
        """One round of local training, or the finished reply where this very request was answered before.

        Raises:
            Refusal: ``TRAINING_DIVERGED``, ``DISK_FULL``, ``CHILD_FAILED`` where several devices train.
        """
        broadcast = weights_sha256(joined(weights))
        finished = self._replies.find(request, broadcast)
        if finished is not None:
            return finished
        outcome = self._train(request, weights)
        trained = {"generator": dict(outcome.generator)}
        if "discriminator" in weights and outcome.discriminator is not None:
            trained["discriminator"] = dict(outcome.discriminator)
        reply = TrainReply(
            study_sha256=request.study_sha256,
            run=request.run,
            round=request.round,
            cases=len(self._cohort.train),
            steps=outcome.steps,
            skipped_steps=outcome.skipped_steps,
            seconds=outcome.seconds,
            losses=outcome.losses,
        )
        self._replies.save(request, broadcast, reply, trained)
        return reply, trained

    def evaluate(self, request: EvaluateRequest, weights: WeightsByNetwork) -> EvaluateReply:
        """Statistics of the generator and the baselines over the site's evaluation cases; refreshes the local page."""
        started = time.monotonic()
        evaluation = self._evaluate()
        cases = len(self._cohort.validation)
        self._say(SiteProgress(phase=Phase.EVALUATING, round=request.round, total=cases))
        result = evaluation.run(weights["generator"])
        self._write_gallery(request, result.gallery)
        suppressed = cases < self.study.privacy.minimum_cases
        return EvaluateReply(
            study_sha256=request.study_sha256,
            run=request.run,
            round=request.round,
            cases=cases,
            suppressed=suppressed,
            seconds=time.monotonic() - started,
            methods=() if suppressed else result.statistics,
        )

    def _train(self, request: TrainRequest, weights: WeightsByNetwork) -> TrainOutcome:
        trainer = self._trainer(request.run)

        def say(step: int, steps: int, loss: float) -> None:
            self._say(SiteProgress(phase=Phase.TRAINING, round=request.round, done=step, total=steps, loss=loss))

        return trainer.train_round(
            request.round,
            weights["generator"],
            weights.get("discriminator"),
            on_step=lambda step: say(step.step, step.steps, step.loss),
            stop=self._bench.stop,
        )

    def _trainer(self, run: str) -> Trainer:
        if run not in self._trainers:
            self._trainers.clear()
            self._trainers[run] = self._new_trainer(self._bench.state / "training" / run)
        return self._trainers[run]

    def _new_trainer(self, folder: Path) -> Trainer:
        device, devices = self._bench.device, self._bench.devices
        if devices > 1:
            return Crew(self.study, self._cohort.train, folder, device, devices)
        return LocalTrainer(self.study, [file.load() for file in self._cohort.train], folder, device)

    def _evaluate(self) -> StudyEvaluation:
        if self._evaluation is None:
            cases = [file.load() for file in self._cohort.validation]
            references = cases if self._bench.role is Role.EVALUATE else [f.load() for f in self._cohort.train]
            self._evaluation = StudyEvaluation(self.study, cases, references, self._bench.device)
        return self._evaluation

    def _write_gallery(self, request: EvaluateRequest, entries: tuple[GalleryEntry, ...]) -> None:
        shown = entries[: self._bench.gallery_cases]
        last = request.round == self.study.federation.rounds
        if shown and (last or time.monotonic() - self._gallery_at >= GALLERY_EVERY_S):
            self._gallery_at = time.monotonic()
            title = f"{self.study.title or self.study.name}: round {request.round}"
            write_gallery(self._bench.state / "cases.html", self.study, shown, title)

    def _say(self, progress: SiteProgress) -> None:
        self._bench.progress.write(progress)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)[:80]
    return f"cpu ({torch.get_num_threads()} threads)"
