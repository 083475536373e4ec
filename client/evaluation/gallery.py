"""The site's own page of slices: CT beside synthetic CT beside difference. It shows patients and stays at the site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
import numpy.typing as npt
import torch

from common.errors import ExitCode, Refusal
from common.files import make_folder, write_atomic
from common.hanging import PLANES, RADIOGRAPHS, Edges, hung
from common.pages import page_templates
from common.pictures import png_address
from common.radiograph_display import display
from common.study import Study, Window

TEMPLATES: Final = Path(__file__).parent / "templates"
DIFFERENCE_COLOURS: Final = "inferno"
SCALE_STOPS: Final = 9

HuVolume = npt.NDArray[np.int16]


@final
@dataclass(frozen=True)
class GalleryEntry:
    """One case of the gallery.

    Attributes:
        label: names the case on the page, and must not identify a patient: ``case 3``.
        truth_hu: (z, y, x), HU, on the study's grid.
        synthetic_hu: (z, y, x), HU, on the study's grid.
        integrals: (2, rows, columns), line integrals of the frontal and lateral radiograph the generator saw.
        psnr_db: PSNR in the study's window.
        ssim: SSIM in the study's window.
    """

    label: str
    truth_hu: HuVolume
    synthetic_hu: HuVolume
    integrals: npt.NDArray[np.float32]
    psnr_db: float
    ssim: float


@final
@dataclass(frozen=True)
class Display:
    """A display window and the greatest absolute difference shown beside it, in HU."""

    name: str
    window: Window
    difference_hu: float


@final
@dataclass(frozen=True)
class Picture:
    """An image on the page; ``width`` is its share of the widest image's extent in mm, ``aspect`` width to height."""

    title: str
    data: str
    edges: Edges
    width: float
    aspect: float


@final
@dataclass(frozen=True)
class Row:
    """One plane in one display: truth, synthetic, difference."""

    plane: str
    position: str
    pictures: tuple[Picture, ...]


DISPLAYS: Final = (
    Display("bone", Window(low_hu=-500, high_hu=1500), 1000),
    Display("brain", Window(low_hu=0, high_hu=80), 100),
)
_TOWARDS: Final = (("superior", "inferior"), ("posterior", "anterior"), ("left", "right"))


def write_gallery(
    path: Path, study: Study, entries: Sequence[GalleryEntry], title: str = "CT and synthetic CT, side by side"
) -> None:
    """Write the page as one HTML file that only its owner can read and that requests nothing from anywhere.

    Args:
        path: the file, below the site's own state folder; the folder is created if missing.
        study: gives grid and window.
        entries: cases in the order shown.
        title: heading of the page.

    Raises:
        Refusal: ``IMAGE_INVALID`` if a volume is not on the study's grid or the radiographs are not a pair,
            ``DISK_FULL`` or ``DISK_UNWRITABLE`` if the file cannot be written.
    """
    for entry in entries:
        _check(entry, study)
    page = (
        page_templates(TEMPLATES)
        .get_template("gallery.html.j2")
        .render(
            title=title,
            study=study,
            cases=[(entry, list(_radiographs(entry, study)), _panels(entry, study)) for entry in entries],
            scale=_scale_colours(),
        )
    )
    make_folder(path.parent)
    write_atomic(path, page.encode("utf-8"), mode=0o600)


def _check(entry: GalleryEntry, study: Study) -> None:
    mend = "resample the volume to the study's grid first"
    for volume in (entry.truth_hu, entry.synthetic_hu):
        if volume.shape != study.grid.shape:
            what = f"volume of {volume.shape} voxels is not on the grid {study.grid.shape}"
            raise Refusal(ExitCode.IMAGE_INVALID, what, where=entry.label, mend=mend)
    expected = (2, *study.geometry.detector_shape)
    if entry.integrals.shape != expected:
        what = f"radiographs of shape {entry.integrals.shape}, expected {expected}"
        raise Refusal(ExitCode.IMAGE_INVALID, what, where=entry.label, mend="render the pair with the study's geometry")


def _panels(entry: GalleryEntry, study: Study) -> list[tuple[Display, list[Row]]]:
    return [(shown, list(_rows(entry, study, shown))) for shown in DISPLAYS]


def _rows(entry: GalleryEntry, study: Study, shown: Display) -> Iterator[Row]:
    low, high = study.window.low_hu, study.window.high_hu
    truth, synthetic = (np.clip(v.astype(np.float32), low, high) for v in (entry.truth_hu, entry.synthetic_hu))
    greatest_mm = max(study.grid.extent_mm)
    for plane, axis, edges in PLANES:
        index = study.grid.shape[axis] // 2
        cuts = hung(truth, axis, index), hung(synthetic, axis, index)
        rows, columns = cuts[0].shape
        width = columns * study.grid.voxel_mm / greatest_mm
        grey = shown.window.low_hu, shown.window.high_hu, "gray"
        drawings = (
            (f"{plane} CT", png_address(cuts[0], *grey)),
            (f"{plane} synthetic CT", png_address(cuts[1], *grey)),
            (
                f"{plane} absolute difference",
                png_address(np.abs(cuts[1] - cuts[0]), 0, shown.difference_hu, DIFFERENCE_COLOURS),
            ),
        )
        pictures = tuple(Picture(name, data, edges, width, columns / rows) for name, data in drawings)
        yield Row(plane, _position(float(study.grid.centres_mm(axis)[index]), axis), pictures)


def _radiographs(entry: GalleryEntry, study: Study) -> Iterator[Picture]:
    rows, columns = study.geometry.detector_shape
    greys = display(torch.from_numpy(np.ascontiguousarray(entry.integrals)))
    for grey, (name, edges) in zip(greys, RADIOGRAPHS, strict=True):
        yield Picture(f"{name} radiograph", png_address(grey, 0, 255, "gray"), edges, 1.0, columns / rows)


def _position(offset_mm: float, axis: int) -> str:
    towards = _TOWARDS[axis][0 if offset_mm >= 0 else 1]
    return f"{abs(offset_mm):.1f} mm {towards} of the isocentre"


def _scale_colours() -> str:
    """The difference colours from least to greatest, as stops of a CSS gradient."""
    import matplotlib as mpl

    colours = mpl.colormaps[DIFFERENCE_COLOURS](np.linspace(0, 1, SCALE_STOPS))
    return ", ".join(mpl.colors.to_hex(colour) for colour in colours)
