"""The section of a study that says what the films are like that its networks learn from."""

from __future__ import annotations

from typing import Annotated, Self, final

from pydantic import Field, model_validator

from common.study.section import Probability, Section

Kilovolts = Annotated[float, Field(ge=60, le=125, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]
Microgray = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


@final
class FilmRanges(Section):
    """Films in training: a share of samples, and the ranges that simulated ones are drawn from evenly.

    A simulated film is exposed, calibrated as a site calibrates a real one whose voltage is stated, and masked: the
    network learns what calibration leaves over.

    Attributes:
        share: probability that a sample's radiographs are simulated films; 0 simulates none.
        own: probability that the rest are a case's own films, where it has them; where not given, 1 for
            ``radiograph.source`` ``film``, a half for ``both``. The remainder are DRRs.
        kvp: tube voltage, behind 2.5 mm of aluminium.
        scatter_to_primary: mean ratio behind the head, at the detector; behind a grid 0.1 to 0.4, without one up to 1
            and more. Calibration takes the middle of the range off.
        kerma_ugy: air kerma in the open field.
        collimation_mm: greatest strip of the detector that the collimator covers along each edge.
        marker: probability of a lead letter in the field's corner.
        pose_deg, pose_mm: greatest turn about and move along each axis in each view, which the network is not told.
    """

    share: Probability = 0.0
    own: Probability | None = None
    kvp: tuple[Kilovolts, Kilovolts] = (65.0, 90.0)
    scatter_to_primary: tuple[Ratio, Ratio] = (0.1, 0.4)
    kerma_ugy: tuple[Microgray, Microgray] = (1.5, 5.0)
    collimation_mm: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 15.0
    marker: Probability = 0.5
    pose_deg: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    pose_mm: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 0.0

    @property
    def expected_scatter_to_primary(self) -> float:
        """The ratio that calibration takes off: the middle of the range."""
        return sum(self.scatter_to_primary) / 2

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name in ("kvp", "scatter_to_primary", "kerma_ugy"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"film.{name} must ascend")
        return self
