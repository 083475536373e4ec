"""A film that can be used: line integrals as a DRR has them, the mask that travels with them, and what is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from client.radiographs.film_geometry import FilmGeometry
from common.geometry import FrontalView, LateralView

Share = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]


@final
class FilmSettings(BaseModel):
    """What a site asks of films and of pairs.

    Attributes:
        least_size, greatest_size: of a head against the average adult one.
        film_minutes: at most between the two films.
        ct_days: at most between the films and the CT.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    least_size: Share = 0.82
    greatest_size: Share = 1.25
    film_minutes: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 10.0
    ct_days: Annotated[int, Field(ge=0, le=36_500)] = 30

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least_size >= self.greatest_size:
            raise ValueError("least_size must lie below greatest_size")
        return self


@final
@dataclass(frozen=True)
class Film:
    """One film, hung as a DRR is: superior at the top; the patient's left, or posterior, at the image's right.

    Attributes:
        integrals: (row, column) float32 line integrals; outside the mask each is that of the nearest exposed pixel.
        exposed: (row, column), where the film shows the patient or the open field: no collimation, marker or text.
        is_lateral: the view.
        direction: which way the beam went through the patient; None if not stated.
        pixel_mm: edge of its square pixels, at the detector, or at the patient if so calibrated.
        geometry: spacing and distances with where they come from.
        patient, study, instance: pseudonyms.
        day, time_s: of the acquisition, None if not stated.
        metal_share: share of the head behind metal.
        size: of the head against the average one.
        kvp: tube voltage, None if not stated.
        notes: what was concluded rather than stated, by fixed words.
    """

    integrals: NDArray[np.float32]
    exposed: NDArray[np.bool_]
    is_lateral: bool
    direction: FrontalView | LateralView | None
    pixel_mm: float
    geometry: FilmGeometry
    patient: str
    study: str
    instance: str
    day: int | None = field(repr=False)
    time_s: float | None = field(repr=False)
    metal_share: float
    size: float
    kvp: float | None
    notes: tuple[str, ...]
