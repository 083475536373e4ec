"""plastimatch drr: command-line projector with OpenMP (BSD-style licence)."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from benchmarks.projection.peers.frames import Frame, centre_voxel, frames, spacing_xyz
from benchmarks.projection.peers.peer import Peer
from benchmarks.projection.scene import Scene

_CENTIMETRES_TO_MM = 10.0


@final
@dataclass(frozen=True)
class _Shot:
    """One view in plastimatch's terms: gantry angle, central ray's (column, row), and whether columns run backwards."""

    angle: float
    centre: tuple[float, float]
    mirrored: bool


@final
class Plastimatch(Peer):
    """``plastimatch drr --algorithm exact``: exact path through piecewise constant voxels.

    A command: the time holds its start, the volume's way through a file and the images' way back. The files lie in
    memory (/dev/shm) where there is one; the header is written ahead, the voxels in the call. Both views come from one
    start where their detector offsets allow, else from two. Version 1.10.0 takes the first gantry angle in radians, the
    spacing of the angles in degrees, and columns before rows, against its help.
    """

    def __init__(self, threads: int = 2) -> None:
        self._program = _program()
        told = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True)
        self.name = f"{told.stdout.strip().replace(' version', '')} exact"
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """See :class:`Peer`."""
        shots = [_shot(scene, frame) for frame in frames(scene.geometry)]
        folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        commands = self._commands(scene, folder, shots)
        shape = scene.geometry.detector_shape

        def project() -> NDArray[np.float32]:
            scene.mu_per_mm.tofile(folder / "volume.raw")
            for command in commands:
                subprocess.run(command, check=True, capture_output=True, env=self._environment)
            stack = np.stack(
                [np.fromfile(file, np.float32).reshape(shape) for file in sorted(folder.glob("view*.raw"))]
            )
            for view, shot in enumerate(shots):
                if shot.mirrored:
                    stack[view] = stack[view, :, ::-1].copy()
            stack *= _CENTIMETRES_TO_MM
            return stack

        weakref.finalize(project, shutil.rmtree, folder)
        return project

    def _commands(self, scene: Scene, folder: Path, shots: list[_Shot]) -> list[list[str]]:
        """Command lines; writes the volume's header. The images are named view*.raw in the views' order."""
        geometry = scene.geometry
        rows, columns = geometry.detector_shape
        spacing = spacing_xyz(scene)
        header = {
            "ObjectType": "Image",
            "NDims": 3,
            "BinaryData": True,
            "BinaryDataByteOrderMSB": False,
            "Offset": _numbers(-spacing * centre_voxel(scene)),
            "ElementSpacing": _numbers(spacing),
            "DimSize": _numbers(scene.mu_per_mm.shape[::-1]),
            "ElementType": "MET_FLOAT",
            "ElementDataFile": "volume.raw",
        }
        file = folder / "volume.mhd"
        file.write_text("".join(f"{key} = {value}\n" for key, value in header.items()))
        size_mm = _numbers((columns * geometry.pixel_mm, rows * geometry.pixel_mm))
        common = [self._program, "drr", "--algorithm", "exact", "--hu-conversion", "none", "--output-format", "raw"]
        common += ["--dim", f"{columns} {rows}", "--detector-size", size_mm, "--isocenter", "0 0 0"]
        common += ["--sad", repr(geometry.source_patient_mm), "--sid", repr(geometry.source_detector_mm)]
        first, second = shots
        if np.allclose(first.centre, second.centre):
            runs = [(first, "view", ["--num-angles", "2", _step(second.angle - first.angle)])]
        else:
            runs = [(shot, f"view{index}", ["--num-angles", "1"]) for index, shot in enumerate(shots)]
        return [
            [
                *common,
                *["--gantry-angle", repr(shot.angle), "--image-center", _numbers(shot.centre), *angles],
                *["--output", str(folder / prefix), str(file)],
            ]
            for shot, prefix, angles in runs
        ]


def _shot(scene: Scene, frame: Frame) -> _Shot:
    """At angle θ the source stands towards (cos θ, -sin θ); columns grow along forward × superior."""
    rows, columns = scene.geometry.detector_shape
    angle = math.atan2(frame.forward[1], -frame.forward[0])
    mirrored = bool(frame.right @ np.cross(frame.forward, [0.0, 0.0, 1.0]) < 0)
    row = (rows - 1) / 2 - float(frame.centre_mm @ frame.down) / scene.geometry.pixel_mm
    column = (columns - 1) / 2 - float(frame.centre_mm @ frame.right) / scene.geometry.pixel_mm
    return _Shot(angle, (columns - 1 - column if mirrored else column, row), mirrored)


def _step(radians: float) -> str:
    return f"--gantry-angle-spacing={math.degrees(radians) % 360!r}"


def _numbers(values: NDArray[np.float64] | tuple[float, ...]) -> str:
    return " ".join(str(value) for value in np.asarray(values).tolist())


def _program() -> str:
    """The executable itself, past the Python wrapper that pip puts on the path.

    Raises:
        ImportError: plastimatch is not installed.
    """
    packaged = (Path(folder, "plastimatch", "bin", "plastimatch") for folder in sys.path)
    found = next((str(file) for file in packaged if file.is_file()), None) or shutil.which("plastimatch")
    if found is None:
        raise ImportError("no plastimatch executable")
    return found
