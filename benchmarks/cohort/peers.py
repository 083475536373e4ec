"""A plain MONAI pipeline, by reader, and SimpleITK's own reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ITKReader, PydicomReader
from monai.transforms import (
    Compose,
    EnsureChannelFirst,
    LoadImage,
    Orientation,
    ResizeWithPadOrCrop,
    Spacing,
    ThresholdIntensity,
)
from numpy.typing import NDArray

from common.geometry import Grid

# MONAI keeps affines in RAS whatever the file says.
RAS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))
AIR_HU = -1000.0

Volume = NDArray[np.float32]
Pipeline = Callable[[str], Any]


# What each of MONAI's readers needs here beside MONAI: orientations are nibabel's in both.
_NEEDS: Mapping[str, tuple[str, ...]] = {"MONAI, PydicomReader": ("nibabel",), "MONAI, ITKReader": ("nibabel", "itk")}


def readers() -> dict[str, Any]:
    """MONAI's readers of DICOM folders that this environment has."""
    made = {"MONAI, PydicomReader": PydicomReader, "MONAI, ITKReader": ITKReader}
    return {name: make() for name, make in made.items() if not _missing(name)}


def left_out() -> list[str]:
    """Readers that this environment lacks, each with what is missing."""
    return [f"{name} (no {', '.join(_missing(name))})" for name in _NEEDS if _missing(name)]


def _missing(name: str) -> list[str]:
    return [package for package in _NEEDS[name] if find_spec(package) is None]


def monai_pipeline(reader: Any, grid: Grid) -> Pipeline:  # noqa: ANN401 - MONAI has no types
    """From a folder to a tensor (1, x, y, z) on a cubic grid: read, orient, interpolate linearly, crop or pad."""
    pipeline: Pipeline = Compose([*_spaced(reader, grid.voxel_mm), ResizeWithPadOrCrop(grid.shape[::-1], value=AIR_HU)])
    return pipeline


def monai_volume(reader: Any, folder: Path, voxel_mm: float) -> tuple[Volume, NDArray[np.float64]]:  # noqa: ANN401
    """HU (z, y, x) on MONAI's own grid before cropping, and the LPS (x, y, z) of that grid's first voxel."""
    load, channel, *rest = _spaced(reader, voxel_mm)
    clip = ThresholdIntensity(AIR_HU, above=True, cval=AIR_HU)
    found = Compose([load, channel, clip, *rest])(str(folder))
    volume: Volume = np.ascontiguousarray(np.asarray(found)[0].T, dtype=np.float32)
    origin = np.asarray(found.affine)[:3, 3] * (-1.0, -1.0, 1.0)
    return volume, origin


def sitk_volume(folder: Path, origin_mm: NDArray[np.float64], shape: Sequence[int], voxel_mm: float) -> Volume:
    """HU (z, y, x) by SimpleITK's reader and linear interpolation, on a grid with axes along LPS; air beyond."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reader.SetOutputPixelType(sitk.sitkFloat32)
    reference = sitk.Image([int(length) for length in reversed(shape)], sitk.sitkFloat32)
    reference.SetOrigin(origin_mm.tolist())
    reference.SetSpacing([voxel_mm] * 3)
    scanned = sitk.Maximum(reader.Execute(), AIR_HU)
    found = sitk.Resample(scanned, reference, sitk.Transform(), sitk.sitkLinear, AIR_HU)
    volume: Volume = sitk.GetArrayFromImage(found)
    return volume


def _spaced(reader: Any, voxel_mm: float) -> list[Any]:  # noqa: ANN401
    return [
        LoadImage(reader=reader, image_only=True),
        EnsureChannelFirst(),
        Orientation("LPS", labels=RAS_LABELS),
        Spacing(pixdim=(voxel_mm,) * 3, mode="bilinear"),
    ]
