"""flashdrr: differentiable volume ray casting in PyTorch (MIT licence)."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version
from typing import final

import numpy as np
import torch
from flashdrr.rendering import VolumeRaycaster
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks.projection.peers.frames import SAMPLES_PER_BLOCK, Frame, centre_voxel, frames, row_blocks, spacing_xyz
from benchmarks.projection.peers.peer import DifferentiablePeer
from benchmarks.projection.scene import Scene

_CLIPPING_MARGIN_MM = 60.0
_CENTIMETRES_TO_MM = 10.0


@final
class FlashDRR(DifferentiablePeer):
    """Trilinear samples at equal steps along each ray, between clipping distances 30 mm outside the volume.

    Version 0.6.0 computes positions for ``align_corners=True`` but samples without, and divides a path of n - 1 steps
    by n: the volume is shrunk by (slices - 1) / slices and the image scaled by (n - 1) / n. It is taken as it is, with
    its default of 256 samples or one a voxel where that is more. Only its factor of 0.1 (mm to cm) is taken out. A
    camera frame mirrored to the project's convention replaces its source-side view, and its directions are set for the
    detector's offset. The batch that grid_sample shares among threads is the two views of one volume, or else the
    volumes.
    """

    def __init__(self, threads: int = 2) -> None:
        self.name = f"flashdrr {version('flashdrr')}"
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
        both = frames(scene.geometry)
        spacing = spacing_xyz(scene)
        steps_mm = np.array(scene.mu_per_mm.shape[:0:-1]) + _CLIPPING_MARGIN_MM / spacing[:2]
        samples = max(256, math.ceil(steps_mm.max()) + 1)
        to_voxel = torch.eye(4)
        to_voxel[:3, :3] = torch.diag(torch.from_numpy(1 / spacing))
        to_voxel[:3, 3] = torch.from_numpy(centre_voxel(scene))
        cameras = torch.stack([_camera(frame) for frame in both])
        same_detector = scene.geometry.frontal_offset_mm == scene.geometry.lateral_offset_mm
        casters = [self._casters(scene, frame, samples, max(batch, 2), block_samples) for frame in both]

        def cast(volumes: Tensor, view: int, poses: Tensor) -> Tensor:
            return torch.cat([caster(volumes, poses, to_voxel) for caster in casters[view]], dim=-2)

        def project(volumes: Tensor) -> Tensor:
            turned = volumes.permute(0, 1, 4, 3, 2)
            if batch == 1 and same_detector:
                images = cast(turned.expand(2, -1, -1, -1, -1), 0, cameras).transpose(0, 1)
            else:
                images = torch.cat(
                    [cast(turned, view, cameras[view].expand(batch, -1, -1)) for view in range(2)], dim=1
                )
            return images * _CENTIMETRES_TO_MM

        return project

    @staticmethod
    def _casters(scene: Scene, frame: Frame, samples: int, images: int, block_samples: int) -> list[VolumeRaycaster]:
        rows, columns = scene.geometry.detector_shape
        to_centre = frame.centre_mm - frame.source_mm
        centred = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (rows, columns))
        down, right = (each * scene.geometry.pixel_mm for each in centred)
        up = -(down + float(to_centre @ frame.down))
        right = right + float(to_centre @ frame.right)
        grid = [*torch.meshgrid(up, right, indexing="ij")]
        ahead = torch.full_like(grid[0], scene.geometry.source_detector_mm)
        directions = F.normalize(torch.stack([grid[1], grid[0], ahead], dim=-1), dim=-1).float()
        casters = []
        for block in row_blocks(rows, images * columns * samples, block_samples):
            caster = VolumeRaycaster(
                ray_samples=samples, resolution=(columns, block.stop - block.start), return_tau=True
            ).eval()
            caster.dirs_cam = directions[block]
            casters.append(caster)
        return casters


def _camera(frame: Frame) -> Tensor:
    """(4, 4) camera to world; columns right, up, forward and position."""
    camera = torch.eye(4)
    columns = np.stack([frame.right, -frame.down, frame.forward, frame.source_mm], axis=1)
    camera[:3] = torch.from_numpy(columns)
    return camera
