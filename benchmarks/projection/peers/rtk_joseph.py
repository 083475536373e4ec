"""RTK's Joseph forward projector, on ITK images (Apache licence)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import final

import itk
import numpy as np
from numpy.typing import NDArray

from benchmarks.projection.peers.frames import centre_voxel, frames, spacing_xyz
from benchmarks.projection.peers.peer import Peer
from benchmarks.projection.scene import Scene


@final
class RtkJoseph(Peer):
    """JosephForwardProjectionImageFilter; both views are one stack of two projections, the volume is shared with NumPy.

    RTK wants columns × rows to point to the source. Where the project's image does not, rows are taken upwards and
    turned over in the result.
    """

    def __init__(self, threads: int = 2) -> None:
        self.name = f"RTK {version('itk-rtk')} Joseph"
        self._threads = threads

    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """See :class:`Peer`."""
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(self._threads)
        itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(self._threads)
        image_type = itk.Image[itk.F, 3]
        geometry = itk.RTK.ThreeDCircularProjectionGeometry.New()
        upwards = []
        for frame in frames(scene.geometry):
            up = bool(np.cross(frame.right, frame.down) @ frame.forward > 0)
            upwards.append(up)
            rows_along = -frame.down if up else frame.down
            vectors = (itk.Vector[itk.D, 3](each.tolist()) for each in (frame.right, rows_along))
            points = (itk.Point[itk.D, 3](each.tolist()) for each in (frame.source_mm, frame.centre_mm))
            if not geometry.AddProjection(*points, *vectors):
                raise NotImplementedError("RTK cannot express this view")

        rows, columns = scene.geometry.detector_shape
        pixel_mm = scene.geometry.pixel_mm
        blank = itk.RTK.ConstantImageSource[image_type].New()
        blank.SetSize([columns, rows, 2])
        blank.SetSpacing([pixel_mm, pixel_mm, 1.0])
        blank.SetOrigin([-(columns - 1) / 2 * pixel_mm, -(rows - 1) / 2 * pixel_mm, 0.0])
        blank.SetConstant(0.0)
        projector = itk.RTK.JosephForwardProjectionImageFilter[image_type, image_type].New()
        projector.SetInput(0, blank.GetOutput())
        projector.SetGeometry(geometry)
        spacing = spacing_xyz(scene)
        origin = -spacing * centre_voxel(scene)

        def project() -> NDArray[np.float32]:
            volume = itk.image_view_from_array(scene.mu_per_mm)
            volume.SetSpacing(spacing.tolist())
            volume.SetOrigin(origin.tolist())
            blank.Modified()
            projector.SetInput(1, volume)
            projector.Update()
            stack = itk.array_view_from_image(projector.GetOutput())
            return np.stack([view[::-1] if up else view for view, up in zip(stack, upwards, strict=True)])

        return project
