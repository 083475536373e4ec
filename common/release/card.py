"""The card of a released network: everything a site must know of a generator before it uses it (``card.json``).

A card is canonical: sorted keys, no spaces, absent fields left out, so that equal cards are equal bytes and any other
bytes are no card.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Final, Literal, Self, final

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from common.documents import first_fault
from common.errors import ExitCode, Refusal
from common.exchange import CohortFlow
from common.roles import Role
from common.study import Sha256, Study

FORMAT_VERSION: Final = 1
CARD_FILE = "card.json"
_MEND = "ask the coordinator for a sound copy, or for a release that this version of tomoray-federated reads"

Count = Annotated[int, Field(ge=0, le=10_000_000_000)]
Lines = Annotated[tuple[str, ...], Field(max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class Interval95(_Part):
    """A two-sided 95 % interval, in the metric's unit."""

    low: FiniteFloat
    high: FiniteFloat


@final
class CardSite(_Part):
    """A site as it registered for the run.

    Attributes:
        role: ``train``, or ``evaluate`` for a held-out site.
        flow: its series from found to used, small counts withheld by the site.
        contributed_rounds: rounds up to the released one whose average holds its weights.
    """

    name: str
    role: Role
    train_cases: Count
    evaluation_cases: Count
    flow: CohortFlow
    contributed_rounds: Count


@final
class CardMetric(_Part):
    """A metric's meaning: no figure without its definition."""

    name: str
    label: str
    unit: str
    decimals: Annotated[int, Field(ge=0, le=12)]
    higher_is_better: bool
    definition: str


@final
class Figure(_Part):
    """One metric of one method over one centre's cases; SD by n − 1, t interval of the mean."""

    method: str
    metric: str
    cases: Count
    mean: FiniteFloat
    sd: FiniteFloat | None
    ci: Interval95 | None


@final
class CentreFigures(_Part):
    """A held-out centre; ``reason`` says why it has no figures."""

    site: str
    cases: Count
    reason: str
    figures: Annotated[tuple[Figure, ...], Field(max_length=2000)]


@final
class PooledFigure(_Part):
    """One metric of one method over the cases of all held-out centres, each case counting once."""

    method: str
    metric: str
    centres: Count
    cases: Count
    mean: FiniteFloat
    sd: FiniteFloat | None


@final
class OverCentres(_Part):
    """The generator's random-effects mean over a population of centres, as the report's statistics define it."""

    metric: str
    centres: Count
    mean: FiniteFloat
    ci: Interval95
    prediction: Interval95 | None
    tau2: FiniteFloat
    i2_percent: FiniteFloat


@final
class HeldOutFigures(_Part):
    """How the released weights did at centres that never trained."""

    centres: Annotated[tuple[CentreFigures, ...], Field(max_length=1000)]
    pooled: Annotated[tuple[PooledFigure, ...], Field(max_length=2000)]
    over_centres: Annotated[tuple[OverCentres, ...], Field(max_length=200)]


@final
class NetworkCard(_Part):
    """What a released generator is, where it comes from, what it was tested for, and what it is not for.

    Attributes:
        study: the study, whole: grid, HU window, geometry and, if it states one, the film's spectrum are in it.
        study_sha256: the study's identity.
        run, round: the run, and the round whose generator this is.
        selection: how that round was chosen.
        generator_sha256: over names, shapes and values, as in the run's record and report.
        generator_average: whether the weights are the running average over the rounds.
        generator_parameters: number of parameters.
        sites: everyone who registered.
        held_out: figures of these very weights at held-out centres; absent if no such centre reported any.
        metrics: definitions of the metrics in ``held_out``.
        reprojection_limit: re-projection error above which a prediction is not to be shown; absent until films of
            held-out sites give one.
        tested_for, intended_use, limits: in sentences.
        trained_with, versions, bundle_sha256: the installed release of the run, its packages, and its bundle.
        made_with: the installed release that wrote the folder.
        made_on: the date it was written on, UTC.
    """

    format_version: Literal[1] = 1
    study: Study
    study_sha256: Sha256
    run: Annotated[str, Field(pattern=r"^[0-9A-Za-z._-]{1,200}$")]
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    selection: str
    generator_sha256: Sha256
    generator_average: bool
    generator_parameters: Count
    sites: Annotated[tuple[CardSite, ...], Field(max_length=1000)]
    held_out: HeldOutFigures | None = Field(default=None, exclude_if=lambda value: value is None)
    metrics: Annotated[tuple[CardMetric, ...], Field(max_length=200)]
    reprojection_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    intended_use: Lines
    tested_for: Lines
    limits: Lines
    trained_with: str
    versions: Annotated[dict[str, str], Field(max_length=200)]
    bundle_sha256: Sha256
    made_with: str
    made_on: date

    @model_validator(mode="after")
    def _study_has_its_hash(self) -> Self:
        if self.study.sha256 != self.study_sha256:
            raise ValueError("study_sha256 is not the study's")
        return self

    def canonical_bytes(self) -> bytes:
        """The card as ``card.json`` holds it: ASCII, one line."""
        document = self.model_dump(mode="json")
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return f"{text}\n".encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Self:
        """Read a card back.

        Raises:
            Refusal: ``RELEASE_CARD_INVALID`` naming the first field that is wrong, or if the bytes are not canonical.
        """
        try:
            card = cls.model_validate_json(data)
        except ValidationError as error:
            raise first_fault(error, where, ExitCode.RELEASE_CARD_INVALID) from error
        if card.canonical_bytes() != data:
            raise Refusal(ExitCode.RELEASE_CARD_INVALID, "card is not in canonical form", where=where, mend=_MEND)
        return card
