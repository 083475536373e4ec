"""Two syntheses in a process of its own: the first compiles its kernels, the second finds them compiled."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import highdicom  # noqa: F401 - imported where it is used, and imports are not timed
import torch

from benchmarks.synthesize.desk import FILMS, KEY, RELEASE
from client.synthesis import chosen_pair, film_synthesis, write_film_synthesis
from common.release import read_release, read_release_key


def main(folder: Path, threads: int, *, refine: bool) -> None:
    """Synthesize twice; print wall and processor seconds as JSON."""
    torch.set_num_threads(threads)
    first = _seconds(folder, refine=refine)
    again = _seconds(folder, refine=refine)
    print(json.dumps({"first_s": first[0], "first_cpu_s": first[1], "wall_s": again[0], "cpu_s": again[1]}))


def _seconds(folder: Path, *, refine: bool) -> tuple[float, float]:
    with TemporaryDirectory(dir=folder) as place:
        wall, cpu = time.perf_counter(), time.process_time()
        release = read_release(folder / RELEASE, read_release_key(folder / KEY))
        made = film_synthesis(chosen_pair([folder / FILMS]), release, refine_poses=refine)
        write_film_synthesis(Path(place) / "out", made, release)
        return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), refine=sys.argv[3] == "refined")
