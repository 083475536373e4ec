"""Volume to radiograph pair and back: exact, differentiable cone-beam projection on any device.

Each view is a :class:`common.projection.swept_beam.SweptBeam`, matrix products on any device; large float32 volumes
on the CPU go through :mod:`common.projection.compiled`, the same sums. Conventions of the images are those of
:mod:`common.geometry`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, cast, final

import torch
from torch import Tensor
from torch.autograd.function import Function

from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid, Pose
from common.projection.compiled import volume_sweep as compiled
from common.projection.lifting import Lifting
from common.projection.ray_module import RayModule
from common.projection.swept_beam import SweptBeam

Beams = tuple[SweptBeam, SweptBeam]


@final
class Projector(RayModule):
    """The linear map A from a volume of attenuation to the line integrals of a radiograph pair.

    It has no parameters and an empty state: weights are recomputed from grid and geometry at each site. It computes in
    its own precision, float32 or after ``.double()`` float64, also inside autocast and when a network is cast to bf16.

    Args:
        grid: the volume's grid, centred on the isocentre.
        geometry: source, detector, views and poses.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if the source or the detector lies inside the volume, or no ray crosses it.
    """

    def __init__(self, grid: Grid, geometry: Geometry) -> None:
        super().__init__(grid, geometry)
        self._lifting: Lifting | None = None
        for beam in geometry.beams:
            self.add_module(beam.name, SweptBeam(grid, geometry, beam))

    def forward(self, mu_per_mm: Tensor) -> Tensor:
        """Line integrals of attenuation along the ray to each pixel's centre.

        Args:
            mu_per_mm: (B, 1, z, y, x), attenuation per mm; zero outside the grid.

        Returns:
            (B, 2, rows, columns), dimensionless; view 0 frontal, view 1 lateral.

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if the volume is not on the projector's grid.
        """
        self._expect(mu_per_mm, (1, *self.grid.shape), "volume")
        return _project(mu_per_mm.to(self._like.dtype).squeeze(1), (self._beams,))

    def adjoint(self, integrals: Tensor) -> Tensor:
        """The exact transpose of :meth:`forward`: (B, 2, rows, columns) to (B, 1, z, y, x).

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if the images are not the projector's radiograph pair.
        """
        self._expect(integrals, (2, *self.geometry.detector_shape), "radiograph pair")
        return _smear(integrals.to(self._like.dtype), (self._beams,)).unsqueeze(1)

    def project_posed(self, mu_per_mm: Tensor, poses: Sequence[tuple[Pose, Pose]]) -> Tensor:
        """:meth:`forward` with a pose for each view of each case, as a training that jitters poses needs it.

        Args:
            mu_per_mm: (B, 1, z, y, x), attenuation per mm.
            poses: B pairs, frontal and lateral.

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if the volume is not on the grid, the counts differ, or a pose brings source
                or detector into the volume.
        """
        self._expect(mu_per_mm, (1, *self.grid.shape), "volume")
        if len(poses) != len(mu_per_mm):
            raise _refused(f"{len(poses)} poses for {len(mu_per_mm)} volumes", "give one pair of poses a case")
        return _project(mu_per_mm.to(self._like.dtype).squeeze(1), tuple(self._posed(pair) for pair in poses))

    def lift(self, features: Tensor) -> Tensor:
        """Features carried back along the rays: (B, 2, C, rows, columns) to (B, 2, C, z, y, x).

        See :class:`common.projection.lifting.Lifting`, which also stands alone where nothing is projected.
        """
        if self._lifting is None:
            self._lifting = Lifting(self.grid, self.geometry).to(self._like)
        lifted: Tensor = self._lifting(features)
        return lifted

    def path_length_mm(self) -> Tensor:
        """Length of each ray inside the volume, (1, 2, rows, columns), as the projector measures it."""
        lengths: Tensor = self(self._like.new_ones(1, 1, *self.grid.shape))
        return lengths

    @property
    def _beams(self) -> Beams:
        frontal, lateral = (cast("SweptBeam", self.get_submodule(beam.name)) for beam in self.geometry.beams)
        return frontal, lateral

    @property
    def _like(self) -> Tensor:
        """A tensor with the projector's device and precision."""
        return self._beams[0].get_buffer("step_mm")

    def _posed(self, poses: tuple[Pose, Pose]) -> Beams:
        update = {"frontal_pose": poses[0], "lateral_pose": poses[1]}
        geometry = self.geometry.model_copy(update=update)
        frontal, lateral = (SweptBeam(self.grid, geometry, beam).to(self._like) for beam in geometry.beams)
        return frontal, lateral

    def _expect(self, tensor: Tensor, shape: tuple[int, ...], what: str) -> None:
        if tensor.ndim != len(shape) + 1 or tuple(tensor.shape[1:]) != shape:
            raise _refused(
                f"{what} of shape {tuple(tensor.shape)}, expected (B, {', '.join(map(str, shape))})",
                "use the grid and geometry of the study",
            )


class _Context(Protocol):
    beams: tuple[Beams, ...]


class _Projection(Function):
    """The sweep of both views, with the adjoint as its gradient: nothing of the sweep is kept for the way back."""

    @staticmethod
    def forward(ctx: _Context, volumes: Tensor, beams: tuple[Beams, ...]) -> Tensor:
        ctx.beams = beams
        return _by_case(_swept, volumes, beams)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, None]:
        return _smear(gradients[0], ctx.beams), None


class _BackProjection(Function):
    """The adjoint of both views, with the sweep as its gradient."""

    @staticmethod
    def forward(ctx: _Context, pairs: Tensor, beams: tuple[Beams, ...]) -> Tensor:
        ctx.beams = beams
        return _by_case(_smeared, pairs, beams)

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor, None]:
        return _project(gradients[0], ctx.beams), None


def _by_case(work: Callable[[Tensor, Beams], Tensor], batch: Tensor, beams: tuple[Beams, ...]) -> Tensor:
    """One pair of beams serves all cases, or each case has its own."""
    if len(beams) == 1:
        return work(batch, beams[0])
    return torch.cat([work(case, own) for case, own in zip(batch[:, None], beams, strict=True)])


def _swept(volumes: Tensor, beams: Beams) -> Tensor:
    frontal, lateral = beams
    if compiled.suits(volumes, math.prod(frontal.grid.shape)):
        images = compiled.sweep(volumes, (frontal.lattice, lateral.lattice))
    else:
        images = [beam.sweep(volumes) for beam in beams]
    return torch.stack([image * beam.get_buffer("step_mm") for beam, image in zip(beams, images, strict=True)], dim=1)


def _smeared(pairs: Tensor, beams: Beams) -> Tensor:
    frontal, lateral = beams
    images = [pairs[:, view] * beam.get_buffer("step_mm") for view, beam in enumerate(beams)]
    if compiled.suits(pairs, math.prod(frontal.grid.shape)):
        return compiled.smear(images, (frontal.lattice, lateral.lattice), frontal.grid.shape)
    return frontal.smear(images[0]) + lateral.smear(images[1])


def _project(volumes: Tensor, beams: tuple[Beams, ...]) -> Tensor:
    """(B, z, y, x) to (B, 2, rows, columns) in the beams' own precision."""
    with torch.autocast(volumes.device.type, enabled=False):
        pair: Tensor = _Projection.apply(volumes, beams)  # type: ignore[no-untyped-call]
    return pair


def _smear(pairs: Tensor, beams: tuple[Beams, ...]) -> Tensor:
    """(B, 2, rows, columns) to (B, z, y, x) in the beams' own precision."""
    with torch.autocast(pairs.device.type, enabled=False):
        volumes: Tensor = _BackProjection.apply(pairs, beams)  # type: ignore[no-untyped-call]
    return volumes


def _refused(what: str, mend: str) -> Refusal:
    return Refusal(ExitCode.GEOMETRY_INVALID, what, where="projection", mend=mend)
