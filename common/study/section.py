"""What the sections of a study's document are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """A section that never changes and knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def later(default: Any) -> Any:  # noqa: ANN401 - a field of any type
    """A field that studies of before do not name: left out of a study's document at its default, so that their identity
    stays what it was."""
    return Field(default=default, exclude_if=lambda value: value == default)
