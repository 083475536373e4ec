"""What registering a film to the average head is worth: how far off the head's middle lies before and after."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.synthesize.desk import write_films
from client.archive import Pseudonyms
from client.pose import poses_without_ct
from client.radiographs import Film, read_films
from common.geometry import Geometry, Grid

_ROOM: Final = Geometry(detector_shape=(190, 172), pixel_mm=1.8, source_patient_mm=950.0, source_detector_mm=1150.0)
_HEAD: Final = Grid(shape=(80, 80, 80), voxel_mm=2.88)


def centre_errors_mm(seeds: Iterable[int]) -> dict[str, list[float]]:
    """For nominal and refined poses the distance of each view's middle, across the beam, from where it was filmed."""
    found: dict[str, list[float]] = {"nominal": [], "refined": []}
    for seed in seeds:
        with TemporaryDirectory() as place:
            paths, poses = write_films(Path(place), _ROOM, _HEAD, seed)
            films = [film for film in read_films(paths, Pseudonyms(bytes(32))) if isinstance(film, Film)]
        for film, one in zip(films, poses_without_ct(films) if films else (), strict=True):
            view = int(film.is_lateral)
            truth = np.delete(poses[view].translation_mm, 1 - view)
            shown = np.zeros(2) if one is None else np.delete(one.pose.translation_mm, 1 - view)
            found["nominal"].append(float(np.linalg.norm(truth)))
            found["refined"].append(float(np.linalg.norm(shown - truth)))
    return found
