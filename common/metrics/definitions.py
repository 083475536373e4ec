"""What every number in the report means: metrics and methods in words, with the study's window printed in full."""

from __future__ import annotations

import math
from typing import final

from pydantic import BaseModel, ConfigDict

from common.metrics.calculation import HIGHEST_PSNR_DB, SSIM_EDGE, SSIM_K1, SSIM_K2, SSIM_SIGMA
from common.metrics.intracranial import (
    BESIDE_MM,
    CSF_HU,
    EVEN_MM,
    EVEN_SD_HU,
    INVENTED_HU,
    LEAST_INVENTION_CM3,
    SMOOTHING_MM,
)
from common.metrics.regions import BODY_HU, BONE_HU, BRAIN_HU, CLOSING_MM, DEEP_MM, SOFT_HU, SPILL_MM
from common.study import Study

GENERATOR = "generator"
PRINCIPAL = ("psnr_db", "ssim", "mae_hu")
VOLUME, BODY, DEEP = "volume", "body", "deep_brain"
# No film shows anything behind a line integral of 100; e^-100 of the photons come through.
_OPAQUE = 100.0
# Of ratios to what the truth holds, which may be little.
_LARGEST_RATIO = 1e4
_LARGEST_SPECTRUM_DB = 400.0


class _Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class MetricDefinition(_Definition):
    """One metric.

    Attributes:
        name: its key in the records.
        label: its name in tables, without the unit.
        unit: ``dB``, ``HU``, or empty.
        decimals: decimals printed.
        higher_is_better: the direction of improvement.
        lowest, highest: bounds that no case's value can lie outside.
        region: the part of the truth it is taken over, where that alone says which cases have it: metrics of one
            region count the same cases, those of the ``volume`` all. Empty where it counts for itself.
        text: the definition.
    """

    name: str
    label: str
    unit: str = ""
    decimals: int = 3
    higher_is_better: bool = True
    lowest: float = -1e12
    highest: float = 1e12
    region: str = ""
    text: str

    @property
    def heading(self) -> str:
        """Label with unit: ``PSNR, dB``."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


@final
class MethodDefinition(_Definition):
    """One method of predicting a volume: the generator or a baseline."""

    name: str
    label: str
    text: str


_METHODS = (
    MethodDefinition(
        name=GENERATOR,
        label="Generator",
        text="the network trained in this run: two radiographs in, one CT volume out.",
    ),
    MethodDefinition(
        name="generator_on_films",
        label="Generator, on films",
        text="the same network, shown the patients' own films instead of DRRs, of the cases that have films.",
    ),
    MethodDefinition(
        name="generator_on_drrs",
        label="Generator, on DRRs",
        text="the same network, shown DRRs of the patients' CT instead of their own films.",
    ),
    MethodDefinition(
        name="mean_volume",
        label="Mean volume",
        text="the mean of the centre's other cases (at a training centre: of its training cases). It looks at no "
        "radiograph and is what an average head of that centre scores. Where cases are deformations of one "
        "head, as those of a virtual hospital made from a real head are, it knows the very person.",
    ),
    MethodDefinition(
        name="template",
        label="Average procedural head",
        text="a painted head with average measures. It looks at no radiograph, holds no patient, and knows nobody.",
    ),
    MethodDefinition(
        name="own_skull_mean_brain",
        label="Own skull, mean brain",
        text="the generator's prediction, filled inside its skull with the mean soft tissue of the centre's other "
        "cases (at a training centre: of its training cases): what the generator's brain must beat.",
    ),
    MethodDefinition(
        name="back_projection",
        label="Back-projection",
        text="each ray's mean attenuation carried back along the ray, both views averaged, unfiltered and without "
        "training.",
    ),
)


METHOD_NAMES = tuple(definition.name for definition in _METHODS)
"""The methods that sites may report, and no others."""


def window_text(study: Study) -> str:
    """The HU window as printed beside metrics: ``−1000..1500 HU``."""
    return f"{_number(study.window.low_hu)}..{_number(study.window.high_hu)} HU"


def metric_definitions(study: Study) -> tuple[MetricDefinition, ...]:
    """The metrics sites report, in the order of the tables; the words follow :mod:`common.metrics`."""
    window, width = window_text(study), _number(study.window.width_hu)

    def hounsfield(name: str, label: str, text: str, region: str = "") -> MetricDefinition:
        return _hounsfield(name, label, text, region, study.window.width_hu)

    ssim = (
        f"Gaussian kernel of {SSIM_EDGE} voxels, σ {SSIM_SIGMA:g} voxels, population covariance, "
        f"K₁ {SSIM_K1:g}, K₂ {SSIM_K2:g}"
    )
    bone = f"above {_number(BONE_HU)} HU"
    brain = f"{_number(BRAIN_HU[0])}..{_number(BRAIN_HU[1])} HU"
    return (
        _decibel(
            "psnr_db",
            "PSNR",
            VOLUME,
            f"Peak signal-to-noise ratio, dB, window {window}, data range {width} HU: 10·log₁₀ of {width}² over the "
            "mean squared error of all voxels, both volumes clipped to the window; "
            f"at most {_number(HIGHEST_PSNR_DB)} dB.",
        ),
        _ratio(
            "ssim",
            "SSIM",
            f"Structural similarity in 3D, window {window}, data range {width} HU: {ssim}; mean over the region where "
            "the whole kernel lies inside the volume (valid).",
            region=VOLUME,
        ),
        hounsfield("mae_hu", "MAE", f"Mean absolute error over all voxels, both volumes clipped to {window}.", VOLUME),
        _decibel(
            "psnr_body_db",
            "PSNR in the body",
            BODY,
            f"PSNR over the body mask of the true volume, window {window}, data range {width} HU. The body is the "
            f"largest connected part above {_number(BODY_HU)} HU, with holes filled in each axial plane.",
        ),
        _ratio("ssim_body", "SSIM in the body", f"Mean of the SSIM map over the body mask, window {window}."),
        hounsfield(
            "mae_body_hu", "MAE in the body", f"MAE over the body mask of the true volume, window {window}.", BODY
        ),
        hounsfield("mae_bone_hu", "MAE in bone", f"MAE where the true volume lies {bone}, window {window}."),
        hounsfield(
            "mae_brain_hu",
            "MAE in brain",
            f"MAE inside the body mask where the true volume lies in {brain}, window {window}. Soft tissue of scalp "
            "and neck in that range counts too.",
        ),
        hounsfield(
            "mae_intracranial_hu",
            "MAE in brain inside the skull",
            f"MAE in brain, only where bone ({bone} in the true volume) is met in at least four of the five directions "
            f"right, left, anterior, posterior and superior, window {window}.",
        ),
        _ratio(
            "bone_dice", "Bone Dice", f"Dice overlap of the voxels {bone} in the true and in the predicted volume.", 0
        ),
        _ratio(
            "cosine_similarity",
            "Cosine similarity",
            f"Cosine of the angle between both volumes as vectors, clipped to {window}, with the window's lower edge "
            "as zero.",
            0,
        ),
        MetricDefinition(
            name="reprojection",
            label="Re-projection error",
            decimals=4,
            higher_is_better=False,
            lowest=0,
            highest=_OPAQUE,
            region=VOLUME,
            text="Mean absolute difference, over the pixels of both views, between the case's line integrals without "
            f"noise and those of the predicted volume, clipped to {window}; dimensionless.",
        ),
        MetricDefinition(
            name="gradient_ratio",
            label="Sharpness",
            lowest=0,
            highest=_LARGEST_RATIO,
            text="Mean gradient magnitude (central differences) over the body mask, of the predicted volume over that "
            f"of the true one, window {window}: 1 is as sharp as the truth, less is blurred, more is noisier.",
        ),
        MetricDefinition(
            name="spectrum_distance_db",
            label="Spectrum distance",
            unit="dB",
            decimals=2,
            higher_is_better=False,
            lowest=0,
            highest=_LARGEST_SPECTRUM_DB,
            text="Mean absolute difference of the radial power spectra of the predicted and the true volume, window "
            f"{window}, mean taken off and a Hann window over each axis, over shells one period wide up to Nyquist's "
            "frequency.",
        ),
        *_inside_the_skull(study),
    )


def _inside_the_skull(study: Study) -> tuple[MetricDefinition, ...]:
    soft, csf = f"{_number(SOFT_HU[0])}..{_number(SOFT_HU[1])} HU", f"below {_number(CSF_HU)} HU"
    within = (
        f"what bone (above {_number(BONE_HU)} HU, closed by a disc of {CLOSING_MM:g} mm) encloses in axial planes, "
        f"over {SPILL_MM:g} mm from bone, the largest connected part"
    )
    deep = (
        f"Deep inside the skull of the true volume: {within}, without its outer {DEEP_MM:g} mm, where it holds {soft}. "
        f"Both volumes are clipped to {soft} and smoothed by a Gaussian of {SMOOTHING_MM:g} mm."
    )
    return (
        _ratio(
            "brain_correlation",
            "Correlation in brain",
            f"Pearson's correlation of prediction and truth. {deep}",
            region=DEEP,
        ),
        MetricDefinition(
            name="brain_slope",
            label="Slope in brain",
            decimals=2,
            lowest=-_LARGEST_RATIO,
            highest=_LARGEST_RATIO,
            region=DEEP,
            text="Covariance of prediction and truth over the truth's variance: 0 is an even grey, 1 the whole "
            f"contrast. {deep}",
        ),
        MetricDefinition(
            name="csf_contrast",
            label="CSF contrast",
            decimals=2,
            lowest=-_LARGEST_RATIO,
            highest=_LARGEST_RATIO,
            text=f"Mean over fluid (truth {csf}) less the mean over what lies {BESIDE_MM[0]:g} to {BESIDE_MM[1]:g} mm "
            f"from it, in the prediction, relative to the same in the truth. {deep}",
        ),
        _ratio("ventricle_dice", "Ventricle Dice", f"Dice overlap of the voxels {csf}. {deep}", 0),
        MetricDefinition(
            name="inventions_cm3",
            label="Inventions",
            unit="cm³",
            decimals=2,
            higher_is_better=False,
            lowest=0,
            highest=math.prod(study.grid.extent_mm) / 1000,
            text=f"Volume of the connected pieces of at least {LEAST_INVENTION_CM3:g} cm³ that differ by over "
            f"{_number(INVENTED_HU)} HU from the truth and more than it from the middle of the brain, each volume less "
            f"its median inside the skull, where the truth is even (SD up to {_number(EVEN_SD_HU)} HU within "
            f"{EVEN_MM:g} mm), inside the skull of the true volume: {within}.",
        ),
    )


def metric_named(name: str, known: tuple[MetricDefinition, ...]) -> MetricDefinition:
    """The definition of a metric; one that this release does not know is shown under its key."""
    for definition in known:
        if definition.name == name:
            return definition
    return MetricDefinition(
        name=name, label=name, text="Reported by the sites; this release holds no definition of it."
    )


def method_named(name: str) -> MethodDefinition:
    """The definition of a method; one that this release does not know is shown under its key."""
    for definition in _METHODS:
        if definition.name == name:
            return definition
    return MethodDefinition(
        name=name, label=name, text="reported by the sites; this release holds no description of it."
    )


def method_order(name: str) -> tuple[int, str]:
    """Sort key: the generator, then known baselines, then the rest by name."""
    names = [definition.name for definition in _METHODS]
    return (names.index(name), "") if name in names else (len(names), name)


def _decibel(name: str, label: str, region: str, text: str) -> MetricDefinition:
    # A window's whole width as error everywhere is 0 dB.
    return MetricDefinition(
        name=name, label=label, unit="dB", decimals=2, lowest=0, highest=HIGHEST_PSNR_DB, region=region, text=text
    )


def _hounsfield(name: str, label: str, text: str, region: str, width_hu: float) -> MetricDefinition:
    return MetricDefinition(
        name=name,
        label=label,
        unit="HU",
        decimals=1,
        higher_is_better=False,
        lowest=0,
        highest=width_hu,
        region=region,
        text=text,
    )


def _ratio(name: str, label: str, text: str, lowest: float = -1, *, region: str = "") -> MetricDefinition:
    return MetricDefinition(name=name, label=label, lowest=lowest, highest=1, region=region, text=text)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")
