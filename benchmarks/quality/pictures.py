"""Slices of the unseen heads: truth beside predictions, in a window for bone and one for brain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

WINDOWS_HU = {"bone": (-1000.0, 1500.0), "brain": (0.0, 80.0)}
_DPI = 110


def write_page(title: str, volumes_hu: Mapping[str, Tensor], path: Path) -> None:
    """Write one PNG: a column for each volume, rows sagittal, coronal and axial in both windows.

    Args:
        title: heading.
        volumes_hu: (z, y, x) by heading, the truth first.
        path: the PNG file.
    """
    rows = [(window, plane) for window in WINDOWS_HU for plane in ("sagittal", "coronal", "axial")]
    figure = Figure(figsize=(2.1 * len(volumes_hu), 2.1 * len(rows)), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(len(rows), len(volumes_hu), squeeze=False)
    for column, (name, volume) in enumerate(volumes_hu.items()):
        hu = volume.float().numpy()
        z, y, x = hu.shape
        # The axial slice passes through the lateral ventricles.
        slices = {"sagittal": hu[::-1, :, x // 2], "coronal": hu[::-1, y // 2], "axial": hu[z // 2 + round(0.12 * z)]}
        for row, (window, plane) in enumerate(rows):
            low, high = WINDOWS_HU[window]
            panel = panels[row, column]
            panel.imshow(np.ascontiguousarray(slices[plane]), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            panel.set_axis_off()
            if row == 0:
                panel.set_title(name, fontsize=8)
    figure.savefig(path, dpi=_DPI, format="png")
