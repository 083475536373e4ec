"""The study: the immutable description of what is trained and how. TOML in, canonical JSON, SHA-256 is its identity."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from common.documents import parse_document, read_document
from common.errors import ExitCode
from common.geometry import Geometry, Grid
from common.learning_settings import DiscriminatorSettings, GeneratorSettings, Networks, Optimisation
from common.sections import Count, Fraction, NonNegative, Positive, Probability, Section

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WireDtype(StrEnum):
    """Number format of network weights on the wire."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@final
class Window(Section):
    """HU window of targets and metrics; every PSNR and SSIM is meaningless without it."""

    low_hu: float = -1000.0
    high_hu: float = 1500.0

    @property
    def width_hu(self) -> float:
        """Width of the window in HU: the data range of PSNR and SSIM."""
        return self.high_hu - self.low_hu

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low_hu < self.high_hu:
            raise ValueError("low_hu must be below high_hu")
        return self


@final
class RadiographSettings(Section):
    """How a DRR is made from line integrals of attenuation.

    Attributes:
        resolution: ``grid`` projects the canonical volume in fine voxels; ``native`` projects the slices as scanned,
            masked to the body and cut to the study's box.
        effective_energy_kev: the photon energy at which water attenuates as it does in the radiograph's whole spectrum,
            20 to 150; near 70 for a head.
        photons: mean unattenuated photons per pixel for Poisson noise; 0 switches noise off.
        integral_scale: line integrals are divided by this fixed constant before the network sees them.
    """

    resolution: Literal["grid", "native"] = "grid"
    effective_energy_kev: Annotated[float, Field(ge=20, le=150, allow_inf_nan=False)] = 70.0
    photons: NonNegative = 50_000.0
    integral_scale: Positive = 5.0

    @property
    def water_mu_per_mm(self) -> float:
        """Linear attenuation of water at the effective energy, by :func:`common.projection.water_mu_per_mm`."""
        # The package brings PyTorch and Numba, seconds that a command which only reads a study must not wait for.
        from common.projection.attenuation import water_mu_per_mm

        return water_mu_per_mm(self.effective_energy_kev)


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
            is. See :mod:`server.rounds.outer_momentum`.
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


@final
class Privacy(Section):
    """Statistics over fewer than ``minimum_cases`` cases never leave a site."""

    minimum_cases: Annotated[int, Field(ge=1, le=1000)] = 10


@final
class CohortSettings(Section):
    """Which cases a site may use and how it splits them.

    Attributes:
        minimum_cases: fewest accepted cases for a site to take part.
        validation_fraction: share of patients a training site keeps for internal validation.
        max_slice_mm: thickest slice spacing accepted.
        minimum_coverage_mm: shortest scanned length along the patient accepted.
        contrast: ``none`` refuses series that name a contrast agent; ``any`` takes them.
    """

    minimum_cases: Count = 3
    validation_fraction: Fraction = 0.2
    max_slice_mm: Positive = 8.0
    minimum_coverage_mm: Positive = 100.0
    contrast: Literal["any", "none"] = "any"


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


@final
class Endpoints(Section):
    """What is reported. The primary endpoint is PSNR in the study's window at held-out centres."""

    primary: Literal["psnr"] = "psnr"
    internal_validation: Literal["never", "last_round", "every_round"] = "last_round"


@final
class Study(Section):
    """The immutable description of one federated training."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    title: Annotated[str, Field(max_length=200)] = ""
    grid: Grid
    window: Window = Window()
    geometry: Geometry
    radiograph: RadiographSettings = RadiographSettings()
    networks: Networks = Networks()
    optimisation: Optimisation = Optimisation()
    federation: Federation = Federation()
    cohort: CohortSettings = CohortSettings()
    widening: Widening = Widening()
    privacy: Privacy = Privacy()
    endpoints: Endpoints = Endpoints()

    @model_validator(mode="after")
    def _variance_has_its_likelihood(self) -> Self:
        if self.networks.generator.variance != (self.optimisation.likelihood_weight > 0):
            raise ValueError("networks.generator.variance and optimisation.likelihood_weight go together")
        return self

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a study.

        Raises:
            Refusal: ``STUDY_INVALID`` if the file is missing, too large, not TOML, or does not describe a study.
        """
        return read_document(cls, path, ExitCode.STUDY_INVALID)

    @classmethod
    def from_text(cls, text: str, *, where: str) -> Self:
        """Parse a study from TOML text; ``where`` names its origin in refusals.

        Raises:
            Refusal: ``STUDY_INVALID`` naming the first field that is wrong.
        """
        return parse_document(cls, text, where, ExitCode.STUDY_INVALID)

    def canonical_json(self) -> str:
        """The study as JSON with sorted keys and no spaces: equal studies give equal bytes."""
        document = self.model_dump(mode="json")
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

    @property
    def sha256(self) -> str:
        """The study's identity: SHA-256 of its canonical JSON, in hex."""
        return hashlib.sha256(self.canonical_json().encode("ascii")).hexdigest()


__all__ = [
    "CohortSettings",
    "DiscriminatorSettings",
    "Endpoints",
    "Federation",
    "GeneratorSettings",
    "Networks",
    "Optimisation",
    "Privacy",
    "RadiographSettings",
    "Study",
    "Widening",
    "Window",
    "WireDtype",
]
