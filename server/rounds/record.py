"""What a run writes down: one document for the run, one line for each round."""

from __future__ import annotations

from enum import StrEnum
from typing import final

from pydantic import BaseModel, ConfigDict

from common.exchange import CohortFlow, MethodStatistics, TrainLosses
from common.roles import Role


class Outcome(StrEnum):
    """How a site's part in a round ended."""

    ACCEPTED = "accepted"
    REFUSED_BY_COORDINATOR = "refused_by_coordinator"
    REFUSED_BY_SITE = "refused_by_site"
    TIMED_OUT = "timed_out"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class SiteRecord(_Record):
    """A site as it registered."""

    name: str
    role: Role
    key_sha256: str
    train_cases: int
    evaluation_cases: int
    flow: CohortFlow
    release: str
    device: str


@final
class RunRecord(_Record):
    """One execution of a study: ``run.json``. Times are ISO 8601 in UTC."""

    run: str
    study_json: str
    study_sha256: str
    bundle_sha256: str
    release: str
    versions: dict[str, str]
    started_at: str
    sites: tuple[SiteRecord, ...]
    generator_parameters: int
    discriminator_parameters: int


@final
class SiteTraining(_Record):
    """A site's training in one round; losses and counts only where its reply was accepted.

    ``reason`` says why it was not, and of an accepted one what was odd about its update.
    """

    site: str
    outcome: Outcome
    reason: str = ""
    cases: int = 0
    steps: int = 0
    skipped_steps: int = 0
    seconds: float = 0.0
    losses: TrainLosses | None = None


@final
class SiteEvaluation(_Record):
    """A site's evaluation in one round: held-out validation, or internal validation at a training site."""

    site: str
    role: Role
    outcome: Outcome
    reason: str = ""
    cases: int = 0
    suppressed: bool = False
    seconds: float = 0.0
    methods: tuple[MethodStatistics, ...] = ()


@final
class RoundRecord(_Record):
    """One round: a line of ``rounds.jsonl``."""

    round: int
    started_at: str
    seconds: float
    aggregated: bool
    training: tuple[SiteTraining, ...]
    evaluation: tuple[SiteEvaluation, ...]
    generator_sha256: str
    discriminator_sha256: str
    bytes_sent: int
    bytes_received: int
