"""Volume to radiograph pair and back: exact, differentiable cone-beam projection by the separable plane sweep.

A frontal or lateral detector is parallel to the volume's planes, so the cone beam magnifies each plane as a whole, and
magnification is separable in rows and columns. The sum over planes of bilinearly magnified planes, times the path
between planes, is Joseph's method (IEEE Trans Med Imaging 1:192, 1982). Each view is two matrix products: one magnifies
every plane along the columns, the other magnifies along the rows and sums the planes. The adjoint is their transpose.
Conventions of both images are those of :mod:`common.geometry`.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.geometry import Beam, FloatArray, Geometry, Grid
from common.lifting import Lifting, RayModule

AIR_HU = -1000.0


def hu_to_mu(volume_hu: Tensor, water_mu_per_mm: float) -> Tensor:
    """Linear attenuation per mm: linear on water, zero for air and below (padding of -1024 or -3024 is air)."""
    return (volume_hu.clamp(min=AIR_HU) - AIR_HU) * (water_mu_per_mm / -AIR_HU)


def mu_to_hu(mu_per_mm: Tensor, water_mu_per_mm: float) -> Tensor:
    """Inverse of :func:`hu_to_mu` from air upwards."""
    return mu_per_mm * (-AIR_HU / water_mu_per_mm) + AIR_HU


@final
class Projector(RayModule):
    """The linear map A from a volume of attenuation to the line integrals of a radiograph pair.

    It has no parameters and an empty state: weights are recomputed from grid and geometry at each site. It computes in
    its own precision, float32 or after ``.double()`` float64, also inside autocast and when a network is cast to bf16.
    Weights take ``8 * x * y * columns + 4 * (x + y) * z * rows`` bytes: 33 MB at 128 cubed, 268 MB at 256 cubed.

    Args:
        grid: the volume's grid, centred on the isocentre.
        geometry: source, detector and views.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if the source or the detector lies inside the volume, or no ray crosses it.
    """

    def __init__(self, grid: Grid, geometry: Geometry) -> None:
        super().__init__(grid, geometry)
        self._lifting: Lifting | None = None
        for beam in geometry.beams:
            across, along_rows = _sweep_weights(grid, geometry, beam)
            self.register_buffer(f"{beam.name}_columns", across, persistent=False)
            self.register_buffer(f"{beam.name}_rows", along_rows, persistent=False)
        self.register_buffer("ray_step_mm", _ray_step_mm(grid, geometry), persistent=False)
        self.float()

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
        with torch.autocast(mu_per_mm.device.type, enabled=False):
            volumes = mu_per_mm.to(self._step.dtype).squeeze(1).contiguous()
            return torch.stack([self._project(volume) for volume in volumes])

    def adjoint(self, integrals: Tensor) -> Tensor:
        """The exact transpose of :meth:`forward`: (B, 2, rows, columns) to (B, 1, z, y, x).

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if the images are not the projector's radiograph pair.
        """
        self._expect(integrals, (2, *self.geometry.detector_shape), "radiograph pair")
        with torch.autocast(integrals.device.type, enabled=False):
            pairs = integrals.to(self._step.dtype) * self._step
            return torch.stack([self._smear(pair[0], 0) + self._smear(pair[1], 1) for pair in pairs]).unsqueeze(1)

    def project_checked(self, mu_per_mm: Tensor) -> Tensor:
        """:meth:`forward` for volumes from outside: a voxel that is not finite would spoil every ray through it.

        Raises:
            Refusal: ``IMAGE_INVALID`` if a voxel is NaN or infinite; ``GEOMETRY_INVALID`` as :meth:`forward`.
        """
        if not mu_per_mm.isfinite().all():
            raise Refusal(
                ExitCode.IMAGE_INVALID,
                "volume holds NaN or infinite attenuation",
                where="projection",
                mend="leave the case out, or repair its volume",
            )
        integrals: Tensor = self(mu_per_mm)
        return integrals

    def lift(self, features: Tensor) -> Tensor:
        """Features carried back along the rays: (B, 2, C, rows, columns) to (B, 2, C, z, y, x).

        See :class:`common.lifting.Lifting`, which also stands alone where nothing is projected.
        """
        if self._lifting is None:
            self._lifting = Lifting(self.grid, self.geometry).to(self._step)
        lifted: Tensor = self._lifting(features)
        return lifted

    def path_length_mm(self) -> Tensor:
        """Length of each ray inside the volume, (1, 2, rows, columns), as the projector measures it."""
        ones = torch.ones(1, 1, *self.grid.shape, dtype=self._step.dtype, device=self._step.device)
        lengths: Tensor = self(ones)
        return lengths

    def _project(self, volume: Tensor) -> Tensor:
        """One (z, y, x) volume to (2, rows, columns)."""
        z, y, x = volume.shape
        # The planes' last stride stays one: batched products on other views can be thirty times slower.
        frontal = torch.bmm(volume.transpose(0, 1), self.get_buffer("frontal_columns"))
        lateral = torch.bmm(volume.reshape(z * y, x).t().contiguous().view(x, z, y), self.get_buffer("lateral_columns"))
        images = [
            self.get_buffer("frontal_rows") @ frontal.reshape(y * z, -1),
            self.get_buffer("lateral_rows") @ lateral.reshape(x * z, -1),
        ]
        return torch.stack(images) * self._step

    def _smear(self, image: Tensor, view: int) -> Tensor:
        """Transpose of one view without the ray step: (rows, columns) to (z, y, x)."""
        z, y, x = self.grid.shape
        name, along, across = ("frontal", y, x) if view == 0 else ("lateral", x, y)
        planes = (self.get_buffer(f"{name}_rows").t() @ image).view(along, z, -1)
        smeared = torch.bmm(planes, self.get_buffer(f"{name}_columns").transpose(1, 2))
        if view == 0:
            return smeared.transpose(0, 1)
        return smeared.view(x, z * across).t().contiguous().view(z, y, x)

    @property
    def _step(self) -> Tensor:
        return self.get_buffer("ray_step_mm")

    def _expect(self, tensor: Tensor, shape: tuple[int, ...], what: str) -> None:
        if tensor.ndim != len(shape) + 1 or tuple(tensor.shape[1:]) != shape:
            raise Refusal(
                ExitCode.GEOMETRY_INVALID,
                f"{what} of shape {tuple(tensor.shape)}, expected (B, {', '.join(map(str, shape))})",
                where="projection",
                mend="use the grid and geometry of the study",
            )


def unfiltered_back_projection(projector: Projector, integrals: Tensor) -> Tensor:
    """The classical baseline: each ray's mean attenuation smeared back along the ray, the views averaged.

    A ray's mean attenuation is its line integral p over its path length L in the volume. In each view a voxel takes the
    mean over the rays that cross it, weighted by share and path length, Aᵀp / AᵀL in terms of the adjoint: weighting by
    length keeps rays that only graze the grid from dominating its edge. The views that see a voxel are then averaged; a
    voxel that none sees is air. Where attenuation is uniform the result is exact.

    Args:
        projector: the projector of the radiograph pair.
        integrals: (B, 2, rows, columns), line integrals.

    Returns:
        (B, 1, z, y, x), attenuation per mm.
    """
    lengths = projector.path_length_mm()
    views = [torch.tensor([[[[1.0]], [[0.0]]]]), torch.tensor([[[[0.0]], [[1.0]]]])]
    means, seen = [], []
    for view in (mask.to(lengths) for mask in views):
        weight = projector.adjoint(lengths * view)
        seen.append((weight > 0).to(weight))
        means.append(projector.adjoint(integrals.to(lengths) * view) / torch.where(weight > 0, weight, 1.0))
    return (means[0] + means[1]) / (seen[0] + seen[1]).clamp(min=1)


def _sweep_weights(grid: Grid, geometry: Geometry, beam: Beam) -> tuple[Tensor, Tensor]:
    """Column weights (plane, voxel, column) and row weights (row, plane * z), float64."""
    magnified = torch.from_numpy(abs(grid.centres_mm(beam.along) - beam.source_mm)) / geometry.source_detector_mm
    columns = _hat_weights(magnified, geometry.column_centres_mm, grid, beam.across)
    rows = _hat_weights(magnified, geometry.row_centres_mm, grid, 0)
    if not (columns.any() and rows.any()):
        raise Refusal(
            ExitCode.GEOMETRY_INVALID,
            f"no ray of the {beam.name} view crosses the volume",
            where="geometry",
            mend="choose smaller pixels or a larger grid",
        )
    return columns.transpose(1, 2).contiguous(), rows.transpose(0, 1).reshape(rows.shape[1], -1).contiguous()


def _hat_weights(magnified: Tensor, pixels_mm: FloatArray, grid: Grid, axis: int) -> Tensor:
    """Linear interpolation where each pixel's ray meets each plane: (plane, pixel, voxel), float64."""
    voxels = grid.shape[axis]
    position = magnified[:, None] * torch.from_numpy(pixels_mm)[None, :] / grid.voxel_mm + (voxels - 1) / 2
    return (1 - (position[:, :, None] - torch.arange(voxels)).abs()).clamp(min=0)


def _ray_step_mm(grid: Grid, geometry: Geometry) -> Tensor:
    """Path of each ray between neighbouring planes, (rows, columns), float64."""
    v = torch.from_numpy(geometry.row_centres_mm)[:, None] / geometry.source_detector_mm
    u = torch.from_numpy(geometry.column_centres_mm)[None, :] / geometry.source_detector_mm
    return grid.voxel_mm * torch.sqrt(1 + u * u + v * v)
