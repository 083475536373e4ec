"""Pages that set our radiographs beside a peer's, and the real heads that they show."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.radiograph_display import display

WATER_PER_MM = 0.0192
AIR_HU = -1000.0
_VIEWS = (("frontal", "R", "L"), ("lateral", "A", "P"))
_DPI = 150


def compare(
    name: str,
    ours: NDArray[np.floating[Any]],
    theirs: NDArray[np.floating[Any]],
    peer_name: str,
    path: Path,
) -> None:
    """Write one PNG: rows are the frontal and the lateral view, columns ours, the peer's and ours minus the peer's.

    Both differences share one symmetric scale, set by the larger; what is not finite is left blank in them.

    Args:
        name: heading of the page.
        ours: (2, rows, columns) line integrals, frontal first, hung as :mod:`common.geometry` says.
        theirs: the peer's, of the same shape.
        peer_name: heading of the peer's column.
        path: the PNG file.
    """
    if ours.shape != theirs.shape or ours.ndim != 3 or len(ours) != 2:
        raise ValueError(f"two pairs of radiographs of one shape wanted, not {ours.shape} and {theirs.shape}")
    differences = ours.astype(np.float64) - theirs.astype(np.float64)
    finite = differences[np.isfinite(differences)]
    limit = float(np.abs(finite).max(initial=0.0)) or np.finfo(np.float32).tiny
    rows, columns = ours.shape[1:]
    figure = Figure(figsize=(11.5, 1.0 + 6.6 * rows / columns), layout="constrained")
    figure.suptitle(name)
    panels = figure.subplots(2, 3, squeeze=False)
    for view, (title, start, end) in enumerate(_VIEWS):
        for panel, side, whose in zip(panels[view], (ours, theirs), ("ours", peer_name), strict=False):
            grey = display(torch.from_numpy(np.ascontiguousarray(side[view], dtype=np.float64)))
            panel.imshow(grey, cmap="gray", vmin=0, vmax=255, origin="upper", interpolation="nearest")
            panel.set_title(f"{title}, {whose}", fontsize=9)
            _letters(panel, start, end, "white")
        panel = panels[view, 2]
        shown = panel.imshow(
            np.ma.masked_invalid(differences[view]),
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            origin="upper",
            interpolation="nearest",
        )
        figure.colorbar(shown, ax=panel, shrink=0.85, label="line integral, ours − peer's")
        rmse, highest = np.sqrt(np.mean(differences[view] ** 2)), np.abs(differences[view]).max()
        panel.set_title(f"{title}, difference: RMSE {rmse:.2e}, max {highest:.2e}", fontsize=9)
        _letters(panel, start, end, "black")
    figure.savefig(path, dpi=_DPI, format="png")


def real_head(ct_folder: Path, head_id: str) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """A real head in its own resolution: axes are permuted and flipped to LPS, and no voxel is interpolated.

    Args:
        ct_folder: holds ``dicom`` and ``nifti``.
        head_id: ``02`` or ``06``; the series must be evenly spaced and not tilted.

    Returns:
        (z, y, x) attenuation per mm, linear in HU, void at -1000 HU and below; voxel edges (z, y, x) in mm.
    """
    source = next((place for kind in ("dicom", "nifti") for place in (ct_folder / kind).glob(f"{head_id}_*")), None)
    if source is None:
        raise FileNotFoundError(f"no head {head_id} in {ct_folder}")
    image = sitk.ReadImage(str(source), sitk.sitkFloat32) if source.suffix != ".zip" else _read_zip(source)
    image = sitk.DICOMOrient(image, "LPS")
    if not np.allclose(np.reshape(image.GetDirection(), (3, 3)), np.eye(3), atol=1e-3):
        raise ValueError(f"{source.name} is not along the patient's axes: {image.GetDirection()}")
    hu: NDArray[np.float32] = sitk.GetArrayFromImage(image)
    mu = WATER_PER_MM * (1 + np.maximum(hu, AIR_HU) / -AIR_HU)
    x, y, z = image.GetSpacing()
    return np.ascontiguousarray(mu, dtype=np.float32), (float(z), float(y), float(x))


def _read_zip(archive: Path) -> Any:  # noqa: ANN401 - SimpleITK has no types
    """The series with most slices in a zip of DICOM files."""
    with tempfile.TemporaryDirectory(prefix="tomoray-head-") as folder, zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
        series = max(
            (
                sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(place), series_id)
                for place in {file.parent for file in Path(folder).rglob("*.dcm")}
                for series_id in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(place))
            ),
            key=len,
        )
        return sitk.ReadImage(series, sitk.sitkFloat32)


def _letters(panel: Axes, start: str, end: str, colour: str) -> None:
    """Name the sides of the patient at the image's left and right edge."""
    panel.set_xticks([])
    panel.set_yticks([])
    for letter, across, side in ((start, 0.03, "left"), (end, 0.97, "right")):
        panel.text(across, 0.5, letter, transform=panel.transAxes, color=colour, ha=side, va="center", weight="bold")
