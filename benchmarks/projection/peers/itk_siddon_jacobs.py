"""ITK's Siddon-Jacobs ray casting (TwoProjectionRegistration remote module, Apache licence)."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, final

import itk
import numpy as np
from numpy.typing import NDArray

from benchmarks.projection.peers.frames import Frame, frames, spacing_xyz
from benchmarks.projection.peers.peer import Peer
from benchmarks.projection.scene import Scene, view_rays

_CAMERA_SIDE = -1.0


@final
class ItkSiddonJacobs(Peer):
    """SiddonJacobsRayCastInterpolateImageFunction in a ResampleImageFilter; the volume is shared with NumPy.

    It wants the volume's corner at the origin and the isocentre at its middle, and gives sums in fractions of the ray,
    which are multiplied by the ray's length. The output's direction matrix turns and mirrors each view. Values at or
    below zero are skipped; a ray that runs within a face between voxels is cast one voxel beside it.
    """

    def __init__(self, threads: int = 2) -> None:
        self.name = f"ITK Siddon-Jacobs {version('itk-twoprojectionregistration')}"
        self._threads = threads

    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """See :class:`Peer`."""
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(self._threads)
        itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(self._threads)
        spacing = spacing_xyz(scene)
        middle = itk.Euler3DTransform[itk.D].New()
        middle.SetComputeZYX(True)
        middle.SetCenter((np.array(scene.mu_per_mm.shape[::-1]) * spacing / 2).tolist())
        casts = [self._cast(scene, frame, middle) for frame in frames(scene.geometry)]
        length_mm = np.stack(
            [np.linalg.norm(view.pixels_mm - view.source_mm, axis=-1) for view in view_rays(scene.geometry)]
        ).astype(np.float32)

        def project() -> NDArray[np.float32]:
            volume = itk.image_view_from_array(scene.mu_per_mm)
            volume.SetSpacing(spacing.tolist())
            views = np.empty_like(length_mm)
            for view, (resampling, rays) in enumerate(casts):
                rays.SetInputImage(volume)
                middle.Modified()
                # One ray sets the transform up for this view, which concurrent rays must not.
                rays.Evaluate([0.0, 0.0, _CAMERA_SIDE])
                resampling.SetInput(volume)
                resampling.Update()
                fractions = itk.array_view_from_image(resampling.GetOutput())[0]
                np.multiply(fractions, length_mm[view], out=views[view])
            return views

        return project

    @staticmethod
    def _cast(scene: Scene, frame: Frame, middle: object) -> tuple[Any, Any]:
        """The filter of one view and its ray caster.

        At angle θ the source stands towards (sin θ, -cos θ), columns grow along (cos θ, sin θ) and rows upwards.
        """
        image_type = itk.Image[itk.F, 3]
        angle = math.atan2(-frame.forward[0], frame.forward[1])
        mirror = float(np.sign(frame.right @ [math.cos(angle), math.sin(angle), 0.0]))
        rays = itk.SiddonJacobsRayCastInterpolateImageFunction[image_type, itk.D].New()
        rays.SetProjectionAngle(angle)
        rays.SetFocalPointToIsocenterDistance(scene.geometry.source_patient_mm)
        rays.SetThreshold(0.0)
        rays.SetTransform(middle)

        rows, columns = scene.geometry.detector_shape
        pixel_mm = scene.geometry.pixel_mm
        right_mm = frame.centre_mm @ frame.right - (columns - 1) / 2 * pixel_mm
        up_mm = -(frame.centre_mm @ frame.down) + (rows - 1) / 2 * pixel_mm
        direction = itk.matrix_from_array(np.diag([mirror, -1.0, 1.0]))
        resampling = itk.ResampleImageFilter[image_type, image_type].New()
        resampling.SetInterpolator(rays)
        resampling.SetTransform(itk.IdentityTransform[itk.D, 3].New())
        resampling.SetDefaultPixelValue(0.0)
        resampling.SetSize([columns, rows, 1])
        resampling.SetOutputSpacing([pixel_mm, pixel_mm, 1.0])
        resampling.SetOutputOrigin([mirror * right_mm, up_mm, -scene.geometry.source_detector_mm])
        resampling.SetOutputDirection(direction)
        return resampling, rays
