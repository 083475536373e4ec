"""The study: the immutable description of what is trained and how. TOML in, canonical JSON, SHA-256 is its identity."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.documents import parse_document, read_document
from common.errors import ExitCode
from common.geometry import Geometry, Grid

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WireDtype(StrEnum):
    """Number format of network weights on the wire."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@final
class Window(_Section):
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
class RadiographSettings(_Section):
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
class GeneratorSettings(_Section):
    """The generator by name, with its widths.

    Attributes:
        name: registered generator.
        width_2d: channels of the radiograph encoder's first stage.
        width_3d: channels of the volume network's first stage.
        stages_3d: resolution stages of the volume network.
        consistency_steps: unrolled projector-consistency steps at the output; 0 switches them off.
    """

    name: Literal["lifting"] = "lifting"
    width_2d: Count = 16
    width_3d: Count = 16
    stages_3d: Annotated[int, Field(ge=1, le=5)] = 3
    consistency_steps: Annotated[int, Field(ge=0, le=50)] = 8


@final
class DiscriminatorSettings(_Section):
    """The discriminator by name. ``federated = false`` keeps it at the site."""

    name: Literal["patch"] = "patch"
    width: Count = 16
    layers: Annotated[int, Field(ge=1, le=5)] = 2
    federated: bool = True


@final
class Networks(_Section):
    """The two networks of the GAN."""

    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()


@final
class Optimisation(_Section):
    """Local training at each site.

    Attributes:
        steps_per_round: generator steps at each site in each round.
        batch_size: cases per step.
        lr_generator: peak AdamW learning rate of G.
        lr_discriminator: learning rate of D, at most G's.
        warmup_steps: linear warm-up of G's rate.
        gradient_clip: maximum global gradient norm.
        l1_weight, mse_weight: reconstruction terms on windowed volumes.
        body_weight, bone_weight: extra voxel weight inside the body and in bone (> 300 HU).
        reprojection_weight: L1 between the output's and the input's line integrals.
        adversarial_weight: LSGAN term on G; 0 trains without a discriminator.
        adversarial_from_step: first global step with the adversarial term.
        max_bad_steps: non-finite losses tolerated in a round before the site stops.
        seed: seed of initial weights and of every site's sampling.
    """

    steps_per_round: Count = 40
    batch_size: Count = 2
    lr_generator: Positive = 2e-3
    lr_discriminator: Positive = 4e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 40
    gradient_clip: Positive = 1.0
    l1_weight: NonNegative = 1.0
    mse_weight: NonNegative = 8.0
    body_weight: NonNegative = 1.0
    bone_weight: NonNegative = 0.5
    reprojection_weight: NonNegative = 0.1
    adversarial_weight: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.02
    adversarial_from_step: Annotated[int, Field(ge=0)] = 100
    max_bad_steps: Annotated[int, Field(ge=0)] = 3
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 2026

    @model_validator(mode="after")
    def _two_time_scales(self) -> Self:
        if self.lr_discriminator > self.lr_generator:
            raise ValueError("lr_discriminator must not exceed lr_generator")
        return self


@final
class Federation(_Section):
    """Rounds and what each must have.

    Attributes:
        rounds: number of rounds in a run.
        minimum_train_sites: valid training replies a round needs.
        round_timeout_s: deadline for a site's reply.
        wire_dtype: number format of weights on the wire.
        bucket_bytes: size of the buckets that weights are packed into.
        weighting: aggregation weight of a site: its number of training cases, or 1.
        max_update_norm: refuse a reply whose weights lie further than this from the broadcast, relative to its norm.
    """

    rounds: Count = 20
    minimum_train_sites: Count = 2
    round_timeout_s: Positive = 3600.0
    wire_dtype: WireDtype = WireDtype.BFLOAT16
    bucket_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 10 * 1024 * 1024
    weighting: Literal["cases", "equal"] = "cases"
    max_update_norm: Positive = 10.0


@final
class Privacy(_Section):
    """Statistics over fewer than ``minimum_cases`` cases never leave a site."""

    minimum_cases: Annotated[int, Field(ge=1, le=1000)] = 10


@final
class CohortSettings(_Section):
    """Which cases a site may use and how it splits them.

    Attributes:
        minimum_cases: fewest accepted cases for a site to take part.
        validation_fraction: share of patients a training site keeps for internal validation.
        max_slice_mm: thickest slice spacing accepted.
        minimum_coverage_mm: shortest scanned length along the patient accepted.
    """

    minimum_cases: Count = 3
    validation_fraction: Fraction = 0.2
    max_slice_mm: Positive = 8.0
    minimum_coverage_mm: Positive = 100.0


@final
class Endpoints(_Section):
    """What is reported. The primary endpoint is PSNR in the study's window at held-out centres."""

    primary: Literal["psnr"] = "psnr"
    internal_validation: Literal["never", "last_round", "every_round"] = "last_round"


@final
class Study(_Section):
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
    privacy: Privacy = Privacy()
    endpoints: Endpoints = Endpoints()

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
