"""The section of a study that says how cohorts are widened while they train."""

from __future__ import annotations

from typing import Annotated, final

from pydantic import Field

from common.study.section import Probability, Section


@final
class Widening(Section):
    """How a site's cohort is widened while it trains; each strength is 0, and that is off, unless the study says so.

    Every step then sees other anatomy, scanners and poses, with radiographs projected afresh. "Greatest" means drawn
    evenly up to it, in both directions; "SD" means drawn from a normal distribution cut at 2.5 SD.

    Attributes:
        flip: probability that left and right are exchanged.
        displacement_mm: greatest peak of a smooth displacement that never folds.
        scale: greatest relative change of size, drawn for each axis.
        rotation_deg, shift_mm: SD of the head's turn about and move along each axis, of volume and radiographs alike.
        ventricles: greatest relative change of the size of the ventricles and what lies around them.
        skull_mm: greatest change of the thickness of bone.
        bone: greatest relative change of the HU of bone.
        brain_hu: SD of a smooth variation of soft tissue.
        lesions: probability of a bleed, an infarct or a calcification.
        coverage: probability that a slanted plane ends the scan between the chin and the skull base.
        kernel: greatest share of the finest detail that is taken away or added, as scanners' kernels differ.
        noise_hu: greatest SD of a scanner's noise, correlated in the plane.
        pose_deg, pose_mm: SD of the patient's turn and move in each radiograph, which the network is not told.
        distance_mm: SD of the error of the distance from source to patient in each radiograph.
    """

    flip: Probability = 0.0
    displacement_mm: Annotated[float, Field(ge=0, le=6, allow_inf_nan=False)] = 0.0
    scale: Annotated[float, Field(ge=0, le=0.15, allow_inf_nan=False)] = 0.0
    rotation_deg: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    shift_mm: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 0.0
    ventricles: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.0
    skull_mm: Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)] = 0.0
    bone: Annotated[float, Field(ge=0, le=0.3, allow_inf_nan=False)] = 0.0
    brain_hu: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    lesions: Probability = 0.0
    coverage: Probability = 0.0
    kernel: Probability = 0.0
    noise_hu: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)] = 0.0
    pose_deg: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0.0
    pose_mm: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 0.0
    distance_mm: Annotated[float, Field(ge=0, le=40, allow_inf_nan=False)] = 0.0

    @property
    def is_on(self) -> bool:
        """Whether any strength differs from 0."""
        return self != Widening()
