"""What a synthesis needs: a signed release of a network, and two films as large as a detector's."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydicom import dcmread

from client.phantom import procedural_head
from client.virtual_films import AntiScatterGrid, FilmFormat, FilmStyle, expose, write_film
from common.exchange import weights_of, weights_sha256
from common.geometry import Geometry, Grid, Pose
from common.networks import build_generator
from common.release import NetworkCard, release_key_of, write_release
from common.spectrum import Spectrum
from common.study import Study

STUDY: Final = Path("configs/cranial-drr-128.toml")
RELEASE, KEY, FILMS = "release", "release.pub", "films"
# 340 by 290 mm; each pixel then counts fourfold, so that they are as many as a digital skull film has.
_ROOM: Final = Geometry(detector_shape=(896, 768), pixel_mm=0.38, source_patient_mm=950.0, source_detector_mm=1150.0)
_HEAD: Final = Grid(shape=(80, 80, 80), voxel_mm=2.88)
_MOST_DEG, _MOST_MM = 5.0, 12.0


def lay_out(folder: Path) -> None:
    """Write release, key and films into an empty folder; the network is untrained, which takes as long."""
    study = Study.from_toml(STUDY)
    private, weights = Ed25519PrivateKey.generate(), weights_of(build_generator(study))
    card = NetworkCard(
        study=study,
        study_sha256=study.sha256,
        run="benchmark",
        round=1,
        selection="none: untrained",
        generator_sha256=weights_sha256(weights),
        generator_average=False,
        generator_parameters=sum(value.numel() for value in weights.values()),
        sites=(),
        metrics=(),
        intended_use=("Timing.",),
        tested_for=(),
        limits=("Untrained.",),
        trained_with="none",
        versions={},
        bundle_sha256="0" * 64,
        made_with="none",
        made_on=date(2026, 1, 1),
    )
    write_release(folder / RELEASE, card, "<!doctype html><title>untrained</title>\n", weights, private)
    (folder / KEY).write_text(f"{release_key_of(private).openssh}\n", encoding="ascii")
    paths, _ = write_films(folder / FILMS, _ROOM, _HEAD, seed=7)
    for path in paths:
        _refine(path)


def _refine(path: Path) -> None:
    """Twice as many rows and columns of half the size."""
    film = dcmread(path)
    stored = film.pixel_array.repeat(2, axis=0).repeat(2, axis=1)
    film.Rows, film.Columns = stored.shape
    film.ImagerPixelSpacing = [spacing / 2 for spacing in film.ImagerPixelSpacing]
    for edge in ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal"):
        keyword = f"Collimator{edge}Edge"
        film[keyword].value = 2 * film[keyword].value
    film.PixelData = stored.astype("<u2").tobytes()
    film.save_as(path)


def write_films(folder: Path, room: Geometry, grid: Grid, seed: int) -> tuple[tuple[Path, ...], tuple[Pose, ...]]:
    """Frontal and lateral film of one procedural head with all their physics; their files, and how the head lay."""
    random = np.random.default_rng(seed)
    poses = tuple(
        Pose(
            pitch_deg=float(random.uniform(-_MOST_DEG, _MOST_DEG)),
            roll_deg=float(random.uniform(-_MOST_DEG, _MOST_DEG)),
            yaw_deg=float(random.uniform(-_MOST_DEG, _MOST_DEG)),
            translation_mm=tuple(random.uniform(-_MOST_MM, _MOST_MM, 3).tolist()),
        )
        for _ in range(2)
    )
    geometry = room.model_copy(update={"frontal_pose": poses[0], "lateral_pose": poses[1]})
    head = procedural_head(seed, grid).astype(np.float32)
    style = FilmStyle(Spectrum(kvp=75), grid=AntiScatterGrid(), field_mm=(330.0, 285.0), marker="L")
    films = (expose(head, grid.voxel_mm, geometry, beam, style, seed=seed) for beam in geometry.beams)
    paths = tuple(write_film(folder, film, FilmFormat(), seed=1, number=seed) for film in films)
    return paths, poses
