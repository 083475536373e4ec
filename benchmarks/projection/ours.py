"""This project's two projectors, as the benchmark asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.projection.peers.peer import DifferentiablePeer, Peer
from benchmarks.projection.scene import Scene
from common.attenuation import AIR_HU
from common.geometry import Grid
from common.projection import Placement, Projector, native_projection

WATER_MU_PER_MM = 0.0192


@final
class Ours(DifferentiablePeer):
    """:class:`common.projection.Projector`: cubic voxels, differentiable, any device."""

    name = "ours (Projector)"

    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """See :class:`Peer`."""
        project = self.differentiable(scene, 1)

        def call() -> NDArray[np.float32]:
            with torch.inference_mode():
                pair: NDArray[np.float32] = project(torch.from_numpy(scene.mu_per_mm)[None, None])[0].numpy()
            return pair

        return call

    def differentiable(self, scene: Scene, batch: int) -> Callable[[Tensor], Tensor]:
        """See :class:`DifferentiablePeer`."""
        z, y, x = scene.mu_per_mm.shape
        if len(set(scene.spacing_mm)) > 1:
            raise NotImplementedError("the study's grid has cubic voxels")
        return Projector(Grid(shape=(z, y, x), voxel_mm=scene.spacing_mm[0]), scene.geometry)


@final
class OursNative(Peer):
    """:func:`common.projection.native_projection` from HU: whole numbers where the phantom stands for a scan.

    Args:
        threads: bands at a time.
        whole_hu: int16 HU as a scanner stores them; otherwise float32 HU, for accuracy without rounding.
    """

    def __init__(self, threads: int = 2, *, whole_hu: bool = True) -> None:
        self.name = "ours (native)"
        self._threads = threads
        self._whole_hu = whole_hu

    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """See :class:`Peer`; the volume is taken as a scanner would have stored it, so conversion is in the call."""
        hu = scene.mu_per_mm * np.float32(-AIR_HU / WATER_MU_PER_MM) + np.float32(AIR_HU)
        volume = np.rint(hu).astype(np.int16) if self._whole_hu else hu
        placement = Placement.centred(volume.shape, scene.spacing_mm)

        def call() -> NDArray[np.float32]:
            return native_projection(volume, placement, scene.geometry, WATER_MU_PER_MM, threads=self._threads)

        return call
