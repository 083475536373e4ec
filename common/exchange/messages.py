"""The messages of a round: typed, bounded, and free of any per-patient field.

Each message travels as canonical JSON beside its weight buckets. Parsing is strict: unknown keys, NaN, infinities and
values out of bounds are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.roles import Role
from common.study import Sha256

Cases = Annotated[int, Field(ge=0, le=1_000_000)]
Round = Annotated[int, Field(ge=0, le=1_000_000)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
RunId = Annotated[str, Field(pattern=r"^[0-9a-z][0-9a-z-]{0,63}$")]


class Kind(StrEnum):
    """What a message asks for; the values are Flower's message types."""

    REGISTER = "query"
    TRAIN = "train"
    EVALUATE = "evaluate"


class RefusalCode(StrEnum):
    """Why a site answers a message with an error. Nothing else of the error leaves the site."""

    BUNDLE_UNKNOWN = "bundle_unknown"
    STUDY_NOT_APPROVED = "study_not_approved"
    ROLE_FORBIDS = "role_forbids"
    MESSAGE_INVALID = "message_invalid"
    COHORT_UNAVAILABLE = "cohort_unavailable"
    TRAINING_DIVERGED = "training_diverged"
    EGRESS_REFUSED = "egress_refused"
    DISK_FULL = "disk_full"
    INTERNAL = "internal"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    study_sha256: Sha256
    run: RunId


@final
class CohortFlow(BaseModel):
    """Counts of series through quality control: found → eligible → used, with exclusions by verdict code."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    found: Cases
    eligible: Cases
    used: Cases
    excluded: dict[Word, Cases] = Field(default_factory=dict, max_length=64)

    @model_validator(mode="after")
    def _adds_up(self) -> CohortFlow:
        if not self.used <= self.eligible <= self.found:
            raise ValueError("counts must fall: used <= eligible <= found")
        return self


@final
class RegisterRequest(_Message):
    """Asks a site to take part in a study."""

    kind: Literal[Kind.REGISTER] = Kind.REGISTER


@final
class RegisterReply(_Message):
    """A site's role and numbers of cases; later replies are checked against these."""

    kind: Literal[Kind.REGISTER] = Kind.REGISTER
    role: Annotated[Role, Field(strict=False)]
    train_cases: Cases
    evaluation_cases: Cases
    flow: CohortFlow
    release: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,32}$")]
    device: Annotated[str, Field(pattern=r"^[0-9A-Za-z .:_()@/-]{1,80}$")]


@final
class TrainRequest(_Message):
    """Asks for one round of local training from the weights that travel beside it."""

    kind: Literal[Kind.TRAIN] = Kind.TRAIN
    round: Round


@final
class TrainLosses(BaseModel):
    """Mean losses over a round's local steps; those of the adversarial game only where it was played."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    generator: Finite
    reconstruction: Finite
    reprojection: Finite
    adversarial: Finite | None = None
    discriminator: Finite | None = None


@final
class TrainReply(_Message):
    """What one round of local training says of itself; the trained weights travel beside it."""

    kind: Literal[Kind.TRAIN] = Kind.TRAIN
    round: Round
    cases: Cases
    steps: Cases
    skipped_steps: Cases
    seconds: Seconds
    losses: TrainLosses


@final
class EvaluateRequest(_Message):
    """Asks for evaluation of the generator that travels beside it."""

    kind: Literal[Kind.EVALUATE] = Kind.EVALUATE
    round: Round


@final
class MetricSums(BaseModel):
    """Sufficient statistics of one metric over a site's cases: pooled mean and SD follow exactly from them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    cases: Annotated[int, Field(ge=1, le=1_000_000)]
    total: Finite
    total_of_squares: Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]

    @property
    def mean(self) -> float:
        """Mean over the cases."""
        return self.total / self.cases


@final
class MethodStatistics(BaseModel):
    """Statistics of one method (the generator or a baseline) by metric name, e.g. ``psnr_db``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    method: Word
    metrics: dict[Word, MetricSums] = Field(max_length=64)


@final
class EvaluateReply(_Message):
    """Statistics of the generator and the baselines at one site; empty where the site has too few cases."""

    kind: Literal[Kind.EVALUATE] = Kind.EVALUATE
    round: Round
    cases: Cases
    suppressed: bool
    seconds: Seconds
    methods: Annotated[tuple[MethodStatistics, ...], Field(max_length=16, strict=False)]


def means_by_name(methods: Iterable[MethodStatistics]) -> dict[str, float]:
    """Means keyed ``method.metric``, e.g. ``generator.psnr_db``."""
    return {f"{method.method}.{name}": sums.mean for method in methods for name, sums in method.metrics.items()}


Request = RegisterRequest | TrainRequest | EvaluateRequest
Reply = RegisterReply | TrainReply | EvaluateReply
