"""What was done to a series to make it a case, by which release, from which bytes. Nothing in it names a patient."""

from __future__ import annotations

from typing import Annotated, final

from pydantic import BaseModel, ConfigDict, Field

from common.trust import RELEASE

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


@final
class Step(BaseModel):
    """One thing done to the images, with its figures; units are in their names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Word
    figures: dict[Word, Finite] = Field(default_factory=dict, max_length=16)


@final
class Provenance(BaseModel):
    """Where a case comes from.

    Attributes:
        release: version of the installed release.
        code_sha256: SHA-256 of the modules that make cases; empty outside a case store.
        input: keyed hash of the series' bytes, which nobody without the site's secret can compute; empty as above.
        steps: what was done, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    release: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,32}$")] = RELEASE
    code_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    input: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    steps: tuple[Step, ...] = ()
