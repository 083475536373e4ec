"""The README's picture: of whom it may be, which case it shows, which side is where, and how large it may be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import PLACE, held_out_cases, middle_of, write_picture
from client.evaluation import GalleryEntry
from common.study import Study
from server.rounds import RunDirectory, prepare_run

LARGEST_BYTES = 200_000


def entry(study: Study, psnr_db: float = 20.0) -> GalleryEntry:
    """Air, and from the middle to the patient's left, back and top a block of bone, which is predicted denser."""
    truth = np.full(study.grid.shape, -1000, dtype=np.int16)
    truth[16:28, 16:26, 16:28] = 1000
    integrals = np.zeros((2, *study.geometry.detector_shape), dtype=np.float32)
    integrals[:, 10:20, 40:54] = 9.0
    synthetic = np.where(truth > 0, 1400, truth).astype(np.int16)
    return GalleryEntry("case", truth, synthetic, integrals, psnr_db, 0.9)


def brightest(picture: Image.Image, box: tuple[float, float, float, float]) -> tuple[float, float]:
    """Where the bright pixels of a part of the picture lie, from 0 to 1 across and down."""
    width, height = picture.size
    part = picture.crop((int(box[0] * width), int(box[1] * height), int(box[2] * width), int(box[3] * height)))
    rows, columns = np.nonzero(np.asarray(part.convert("L")) > 150)
    return float(columns.mean() / part.width), float(rows.mean() / part.height)


def test_the_case_with_the_middle_psnr_is_shown(study: Study) -> None:
    entries = [entry(study, psnr_db) for psnr_db in (31.0, 25.0, 29.0, 27.0)]
    assert middle_of(entries).psnr_db == 27.0


def test_sides_are_hung_by_radiological_convention(study: Study, tmp_path: Path) -> None:
    write_picture(entry(study), study, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        panels = {
            "frontal": brightest(picture, (0.02, 0.08, 0.31, 0.50)),
            "axial": brightest(picture, (0.36, 0.08, 0.53, 0.31)),
            "coronal": brightest(picture, (0.36, 0.37, 0.53, 0.60)),
            "sagittal": brightest(picture, (0.36, 0.66, 0.53, 0.89)),
        }
    assert panels["frontal"] == pytest.approx((0.74, 0.23), abs=0.1)
    # The patient's left and back are the image's right; back is down in the axial slice, the top is up in the others.
    assert panels["axial"] == pytest.approx((0.69, 0.66), abs=0.1)
    assert panels["coronal"] == pytest.approx((0.69, 0.31), abs=0.1)
    assert panels["sagittal"] == pytest.approx((0.66, 0.31), abs=0.1)


def test_a_run_of_real_heads_is_refused(study: Study, tmp_path: Path) -> None:
    prepare_run(study, RunDirectory(tmp_path))
    (tmp_path / "demo.json").write_text(json.dumps({"real_heads": True, "held_out": "west"}))
    with pytest.raises(ValueError, match="shows persons"):
        held_out_cases(tmp_path)


def test_a_folder_without_a_finished_demo_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finished demo"):
        held_out_cases(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_the_picture_in_the_tree_loads_at_once() -> None:
    assert PLACE.stat().st_size <= LARGEST_BYTES
    with Image.open(PLACE) as picture:
        assert 900 <= picture.width <= 1400
