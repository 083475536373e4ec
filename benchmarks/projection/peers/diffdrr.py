"""DiffDRR: differentiable ray casting in PyTorch (Gopalakrishnan, MIT licence)."""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Callable
from importlib.metadata import version
from typing import final

import numpy as np
import torch
from diffdrr.renderers import Siddon, Trilinear
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.projection.peers.frames import (
    SAMPLES_PER_BLOCK,
    centre_voxel,
    rays_mm,
    refuse_poses,
    row_blocks,
    spacing_xyz,
)
from benchmarks.projection.peers.peer import DifferentiablePeer
from benchmarks.projection.scene import Scene


class _DiffDRR(DifferentiablePeer):
    """DiffDRR's renderers, called as its ``DRR.render`` calls them.

    ``diffdrr.data.read`` is left out: it rescales the volume, and μ must reach the renderer as it is. Both views of
    one volume are one batch of two poses, which is what grid_sample needs to use two CPU threads; rays go in blocks of
    rows (DiffDRR's ``patch_size``). One call takes one volume, so a batch of volumes is a loop. The renderer is
    compiled (DiffDRR's ``compile_renderer``) where there is a C++ compiler: the first call takes many seconds.
    """

    def __init__(self, kind: str, renderer: nn.Module, threads: int) -> None:
        compiled = shutil.which(os.environ.get("CXX", "g++")) is not None
        self.name = f"DiffDRR {version('diffdrr')} {kind}{' compiled' if compiled else ''}"
        self._renderer = torch.compile(renderer) if compiled else renderer
        self._threads = threads

    @abstractmethod
    def _points_per_ray(self, scene: Scene) -> int: ...

    def _arguments(
        self,
        scene: Scene,
        source: Tensor,
        target: Tensor,
    ) -> dict[str, Tensor | int]:
        return {}

    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """See :class:`benchmarks.projection.peers.peer.Peer`; NumPy and torch share the volume."""
        render = self._prepared(scene, SAMPLES_PER_BLOCK)
        volume = torch.from_numpy(scene.mu_per_mm)

        def project() -> NDArray[np.float32]:
            with torch.inference_mode():
                return np.asarray(render(volume).numpy())

        return project

    def differentiable(self, scene: Scene, batch: int) -> Callable[[Tensor], Tensor]:
        """See :class:`DifferentiablePeer`."""
        render = self._prepared(scene, max(SAMPLES_PER_BLOCK, scene.mu_per_mm.size))

        def project(volumes: Tensor) -> Tensor:
            return torch.stack([render(volumes[item, 0]) for item in range(batch)])

        return project

    def _prepared(self, scene: Scene, samples: int) -> Callable[[Tensor], Tensor]:
        """Maps (z, y, x) to (2, rows, columns)."""
        torch.set_num_threads(self._threads)
        refuse_poses(scene.geometry)
        rows, columns = scene.geometry.detector_shape
        source_mm, target_mm = rays_mm(scene)
        spacing, centre = (torch.from_numpy(each(scene)).float() for each in (spacing_xyz, centre_voxel))
        source, target = source_mm / spacing + centre, target_mm / spacing + centre
        length_mm = (target_mm - source_mm[:, None]).norm(dim=-1)
        arguments = self._arguments(scene, source, target)
        blocks = [
            (target[:, rows_of].flatten(1, 2), length_mm[:, rows_of].flatten(1, 2)[:, None])
            for rows_of in row_blocks(rows, 2 * columns * self._points_per_ray(scene), samples)
        ]

        def render(volume: Tensor) -> Tensor:
            density = volume.permute(2, 1, 0)
            parts = [self._renderer(density, source, ends, length, **arguments) for ends, length in blocks]
            return torch.cat(parts, dim=-1).view(2, rows, columns)

        return render


@final
class DiffDRRSiddon(_DiffDRR):
    """Exact radiological path through piecewise constant voxels: every plane crossing of every ray, sorted.

    Its option to drop crossings outside the volume raises TypeError in 0.6.1 and stays off.
    """

    def __init__(self, threads: int = 2) -> None:
        super().__init__("Siddon", Siddon(voxel_shift=0.5), threads)

    def _points_per_ray(self, scene: Scene) -> int:
        return sum(scene.mu_per_mm.shape) + 3


@final
class DiffDRRTrilinear(_DiffDRR):
    """Trilinear samples, summed by the rectangle rule.

    One sample for each slice that the central ray crosses and one beyond either face (DiffDRR's default is 500 whatever
    the volume), between the planes one voxel outside the first and the last slice. All rays share the fractions of
    their length, so on a detector parallel to the slices the samples lie on the slices: this is Joseph's sum exactly
    wherever the volume has as many slices along x as along y, and no coarser elsewhere.
    """

    def __init__(self, threads: int = 2) -> None:
        super().__init__("trilinear", Trilinear(voxel_shift=0.5), threads)

    def _points_per_ray(self, scene: Scene) -> int:
        return int(max(scene.mu_per_mm.shape[1:])) + 2

    def _arguments(self, scene: Scene, source: Tensor, target: Tensor) -> dict[str, Tensor | int]:
        bounds = []
        for view, axis in enumerate((1, 0)):
            first = source[view, 0, axis]
            depth = target[view, 0, 0, axis] - first
            beyond = scene.mu_per_mm.shape[2 - axis]
            bounds.append(sorted(((-1 - first) / depth, (beyond - first) / depth)))
        alphas = torch.tensor(bounds)[:, None, :]
        return {"n_points": self._points_per_ray(scene), "alphamin": alphas[..., :1], "alphamax": alphas[..., 1:]}
