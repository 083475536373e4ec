"""nanodrr: differentiable ray marching in PyTorch (Gopalakrishnan, MIT licence)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import final

import numpy as np
import torch
from nanodrr.data import Subject
from nanodrr.drr import render
from numpy.typing import NDArray
from torch import Tensor

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


@final
class NanoDRR(DifferentiablePeer):
    """Trilinear samples at midpoints between the faces where each ray enters and leaves the volume.

    As many samples as the volume has slices along the beam (its default is 500 whatever the volume): one a voxel of
    depth, as Joseph's method takes them. Its conversion from HU is off, so μ reaches the renderer as it is. Rays are
    handed over in blocks of rows (``src``, ``tgt``). The batch that grid_sample shares among threads is the two views
    of one volume, or else the volumes.
    """

    def __init__(self, threads: int = 2) -> None:
        self.name = f"nanodrr {version('nanodrr')}"
        self._threads = threads

    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """See :class:`benchmarks.projection.peers.peer.Peer`; NumPy and torch share the volume."""
        views = self._prepared(scene, 1, SAMPLES_PER_BLOCK)
        volume = torch.from_numpy(scene.mu_per_mm)[None, None]

        def project() -> NDArray[np.float32]:
            with torch.inference_mode():
                return np.asarray(views(volume)[0].numpy())

        return project

    def differentiable(self, scene: Scene, batch: int) -> Callable[[Tensor], Tensor]:
        """See :class:`DifferentiablePeer`."""
        return self._prepared(scene, batch, max(SAMPLES_PER_BLOCK, scene.mu_per_mm.size))

    def _prepared(self, scene: Scene, batch: int, block_samples: int) -> Callable[[Tensor], Tensor]:
        """Maps (B, 1, z, y, x) to (B, 2, rows, columns)."""
        torch.set_num_threads(self._threads)
        refuse_poses(scene.geometry)
        rows, columns = scene.geometry.detector_shape
        source, target = rays_mm(scene)
        samples = max(scene.mu_per_mm.shape[1:])
        to_world = torch.eye(4)
        to_world[:3, :3] = torch.diag(torch.from_numpy(spacing_xyz(scene)))
        to_world[:3, 3] = -torch.from_numpy(spacing_xyz(scene) * centre_voxel(scene))
        to_voxel = torch.linalg.inv(to_world.double()).float()
        to_grid = Subject._make_voxel_to_grid(torch.Size((1, 1, *scene.mu_per_mm.shape)))
        no_label, isocentre = torch.zeros(1, 1, 1, 1, 1), torch.zeros(3)
        poses = torch.eye(4).expand(max(batch, 2), 4, 4)
        distance = torch.full((max(batch, 2),), scene.geometry.source_detector_mm)
        together = [slice(0, 2)] if batch == 1 else [slice(0, 1), slice(1, 2)]
        blocks = list(row_blocks(rows, max(batch, 2) * columns * samples, block_samples))

        def project(volumes: Tensor) -> Tensor:
            subject = Subject(
                volumes, no_label, to_world, to_voxel, to_grid, isocentre, max_label=0, convert_to_mu=False
            )
            images = []
            for views in together:
                parts = [
                    render(
                        subject,
                        poses,
                        poses,
                        distance,
                        block.stop - block.start,
                        columns,
                        n_samples=samples,
                        src=source[views],
                        tgt=target[views, block].flatten(1, 2),
                    )
                    for block in blocks
                ]
                images.append(torch.cat(parts, dim=2))
            return images[0].transpose(0, 1) if batch == 1 else torch.cat(images, dim=1)

        return project
