"""The README's picture, from a finished demo: a held-out virtual patient's radiographs, CT, and synthetic CT.

``python -m benchmarks.pictures --run runs/demo`` draws it. Of the held-out hospital's cases it shows the one with the
middle PSNR. A run on deformed real heads is refused: no picture of a person belongs into the tree.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from client.cohort import build_cohort
from client.evaluation import GalleryEntry, StudyEvaluation
from common.files import make_folder
from common.hanging import PLANES, RADIOGRAPHS, Edges, hung
from common.radiograph_display import display
from common.roles import Role
from common.study import Study
from server.rounds import RunDirectory

PLACE = Path("docs/pictures/demo-head.png")
WINDOW_HU, DIFFERENCE_HU = (-500.0, 1500.0), 1000.0
COLOURS = "inferno"
_DPI, _GREYS = 120, 160


def main() -> None:
    """Draw the picture of a run."""
    parser = argparse.ArgumentParser(prog="benchmarks.pictures", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="folder of a finished demo")
    parser.add_argument("--output", type=Path, default=PLACE)
    arguments = parser.parse_args()
    study, entries = held_out_cases(arguments.run)
    write_picture(middle_of(entries), study, arguments.output)
    print(arguments.output)


def held_out_cases(run: Path) -> tuple[Study, tuple[GalleryEntry, ...]]:
    """The study of a demo's folder, and each held-out case as the last checkpoint's generator predicts it.

    Raises:
        ValueError: the folder holds no finished demo, or one of real heads.
        Refusal: what reading the run or the archive refuses.
    """
    figures = run / "demo.json"
    if not figures.exists():
        raise ValueError(f"{run} holds no finished demo: run 'make demo' first")
    demo = json.loads(figures.read_text(encoding="utf-8"))
    if demo["real_heads"]:
        raise ValueError(f"{run} shows persons, whose pictures stay where they are: run 'make demo' without CT")
    directory = RunDirectory(run)
    record, number = directory.run_record(), directory.latest_checkpoint()
    if record is None or number is None:
        raise ValueError(f"{run} holds no run")
    study, site = Study.model_validate_json(record.study_json), run / "sites" / demo["held_out"]
    cohort = build_cohort(site / "archive", study, Role.EVALUATE, site / "state")
    cases = [file.load() for file in cohort.validation]
    weights, _ = directory.read_checkpoint(number)
    evaluation = StudyEvaluation(study, cases, [], torch.device("cpu"), gallery_cases=len(cases))
    return study, evaluation.run(weights["generator"]).gallery


def middle_of(entries: Sequence[GalleryEntry]) -> GalleryEntry:
    """The case with the middle PSNR; of two the worse."""
    return sorted(entries, key=lambda entry: entry.psnr_db)[(len(entries) - 1) // 2]


def write_picture(entry: GalleryEntry, study: Study, path: Path) -> None:
    """Write one PNG: both radiographs, then the three middle slices of CT, synthetic CT and their difference.

    Args:
        entry: the case.
        study: gives grid and window.
        path: the PNG file; its folder is created if missing.
    """
    figure = Figure(figsize=(8.6, 6.1), layout="constrained", facecolor="white")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.0, 2.05))[0]
    left.suptitle("What the network is given", fontsize=10)
    for panel, grey, (name, edges) in zip(
        left.subplots(2, 1), display(torch.from_numpy(entry.integrals)), RADIOGRAPHS, strict=True
    ):
        panel.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
        _name(panel, f"{name} radiograph (DRR)", edges)
    right.suptitle(f"Middle slices: CT, synthetic CT, difference (PSNR {entry.psnr_db:.1f} dB)", fontsize=10)
    panels = right.subplots(3, 3)
    low, high = study.window.low_hu, study.window.high_hu
    truth, synthetic = (np.clip(v.astype(np.float32), low, high) for v in (entry.truth_hu, entry.synthetic_hu))
    for row, (plane, axis, edges) in zip(panels, PLANES, strict=True):
        index = study.grid.shape[axis] // 2
        cuts = hung(truth, axis, index), hung(synthetic, axis, index)
        _slice(row[0], cuts[0], f"{plane} CT", edges)
        _slice(row[1], cuts[1], f"{plane} synthetic CT", edges)
        difference = np.abs(cuts[1] - cuts[0])
        shown = row[2].imshow(difference, cmap=COLOURS, vmin=0, vmax=DIFFERENCE_HU, interpolation="bicubic")
        _name(row[2], "absolute difference", edges)
    scale = right.colorbar(shown, ax=panels, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    scale.set_label("absolute difference, HU", fontsize=8)
    scale.ax.tick_params(labelsize=7)
    make_folder(path.parent, mode=0o755)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=_DPI, format="png")
    with Image.open(drawn) as picture:
        picture.convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE).save(path, optimize=True)


def _palette() -> Image.Image:
    """Greys and the colours of the difference: all that the picture has, at a third of its size."""
    greys = np.repeat(np.linspace(0, 255, _GREYS)[:, None], 3, axis=1)
    colours = mpl.colormaps[COLOURS](np.linspace(0, 1, 256 - _GREYS))[:, :3] * 255
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([greys, colours]).round().astype(np.uint8).tobytes())
    return palette


def _slice(panel: Axes, cut: npt.NDArray[np.float32], title: str, edges: Edges) -> None:
    panel.imshow(cut, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], interpolation="bicubic")
    _name(panel, title, edges)


def _name(panel: Axes, title: str, edges: Edges) -> None:
    """A title, and the patient's sides at the edges of the image."""
    panel.set_axis_off()
    panel.set_title(title, fontsize=8, pad=3)
    places = ((edges.left, 0.04, 0.5), (edges.right, 0.96, 0.5), (edges.top, 0.5, 0.95), (edges.bottom, 0.5, 0.05))
    for letter, across, up in places:
        panel.text(across, up, letter, transform=panel.transAxes, color="white", size=7, ha="center", va="center")


if __name__ == "__main__":
    main()
