"""The section of a study that says how sites train together."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, final

from pydantic import Field

from common.study.section import Count, Fraction, Positive, Section


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
        max_update_norm: refuse a reply whose weights lie further than this from the broadcast, relative to its norm.
    """

    rounds: Count = 20
    minimum_train_sites: Count = 2
    round_timeout_s: Positive = 3600.0
    wire_dtype: WireDtype = WireDtype.BFLOAT16
    bucket_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 10 * 1024 * 1024
    weighting: Literal["cases", "equal"] = "cases"
    outer_momentum: Fraction = 0.0
    max_update_norm: Positive = 10.0
