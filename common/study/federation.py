"""The section of a study that says how sites train together."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from common.study.section import Count, Fraction, Positive, Section, later


class WireDtype(StrEnum):
    """Number format of network weights on the wire."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@final
class Federation(Section):
    """Rounds and what each must have.

    Attributes:
        rounds: number of rounds in a run.
        minimum_train_sites: valid training replies a round needs.
        round_timeout_s: deadline for a site's reply.
        wire_dtype: number format of weights on the wire.
        bucket_bytes: size of the buckets that weights are packed into.
        weighting: aggregation weight of a site: its number of training cases, or 1.
        outer_momentum: how much of the last rounds' movement of G a round goes on with; 0 takes the sites' mean as it
            is. See :mod:`server.aggregation.outer_momentum`.
        strategy: what makes one model of the replies: the weighted ``mean``, or one that bears hostile sites and counts
            every site once: ``trimmed_mean``, ``median``, ``krum``. See :mod:`server.aggregation`.
        hostile_sites: how many ``trimmed_mean`` and ``krum`` bear; a round then needs more than twice as many replies,
            with ``krum`` at least twice as many and three.
        maximum_share: the most that any one site counts in the mean, of the whole.
        outliers: replies whose update is far larger or smaller than the others', or points away from them, are flagged,
            or flagged and left out. See :mod:`server.aggregation.update_outliers`.
        max_update_norm: refuse a reply whose weights lie further than this from the broadcast, relative to its norm.
    """

    rounds: Count = 20
    minimum_train_sites: Count = 2
    round_timeout_s: Positive = 3600.0
    wire_dtype: WireDtype = WireDtype.BFLOAT16
    bucket_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 10 * 1024 * 1024
    weighting: Literal["cases", "equal"] = "cases"
    outer_momentum: Fraction = 0.0
    strategy: Literal["mean", "trimmed_mean", "median", "krum"] = later("mean")
    hostile_sites: Annotated[int, Field(ge=0, le=1000)] = later(0)
    maximum_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = later(1.0)
    outliers: Literal["flag", "leave_out"] = later("flag")
    max_update_norm: Positive = 10.0

    @model_validator(mode="after")
    def _bears_its_hostile_sites(self) -> Self:
        trusting = self.strategy in ("mean", "median")
        if trusting == (self.hostile_sites > 0):
            raise ValueError('hostile_sites goes with strategy = "trimmed_mean" or "krum", and they need it')
        if self.strategy != "mean" and self.weighting != "equal":
            raise ValueError(f'strategy = "{self.strategy}" counts every site once: set weighting = "equal"')
        fewest = 2 * self.hostile_sites + (3 if self.strategy == "krum" else 1)
        if self.hostile_sites and self.minimum_train_sites < fewest:
            raise ValueError(f"minimum_train_sites must be at least {fewest} for {self.hostile_sites} hostile_sites")
        return self

    @model_validator(mode="after")
    def _shares_make_a_whole(self) -> Self:
        if self.maximum_share * self.minimum_train_sites < 1 - 1e-9:
            raise ValueError("maximum_share times minimum_train_sites must be at least 1")
        return self
