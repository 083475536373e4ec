"""The lifting generator: radiograph features carried back along the true rays into a small volume network."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid
from common.lifting import Lifting
from common.networks.blocks import ConvUnit, ResidualUnit, depth_to_space, space_to_depth, start_as_resize
from common.networks.consistency import ProjectorConsistency
from common.networks.generator import Generator
from common.networks.radiograph_encoder import HALVINGS, RadiographEncoder
from common.study import Study

COORDINATE_MM = 100.0
AIR_LOGIT = -1.5
WIDEST = 4


@final
class LiftingGenerator(Generator):
    """A shared 2D U-Net, its features lifted at two resolutions, a 3D U-Net, and projector consistency at the output.

    The volume network works at half the grid's resolution: the raw radiographs enter lifted at full resolution, as
    2-cubes in channels, and the output leaves the same way. Beside its value every voxel gets a positive weight that
    says how far consistency may move it.

    Args:
        study: grid, geometry, window, radiograph constants and widths.

    Raises:
        Refusal: ``STUDY_INVALID`` if grid or detector cannot be halved as often as the network needs.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        settings, grid, geometry = study.networks.generator, study.grid, study.geometry
        _check_divisible(grid, geometry, settings.stages_3d)
        self.integral_scale = study.radiograph.integral_scale
        self.encoder = RadiographEncoder(settings.width_2d)
        self.raw_lift = Lifting(grid, geometry)
        self.lifts = nn.ModuleList(
            Lifting(grid.coarser(f), geometry.coarser(f)) for f in ((2, 4) if settings.stages_3d > 1 else (2,))
        )
        self.register_buffer("coordinates", _coordinates(grid.coarser(2)), persistent=False)
        lifted = [3 * channels for channels in self.encoder.channels]
        self.volume = _VolumeNetwork(lifted[0] + 16 + self.coordinates.shape[1], lifted[1], settings.width_3d, settings.stages_3d)
        steps = settings.consistency_steps
        self.outputs = 2 if steps else 1
        self.head = nn.Conv3d(settings.width_3d, 8 * self.outputs, 3, padding=1)
        start_as_resize(self.head)
        nn.init.constant_(self.head.bias[:8], AIR_LOGIT)
        self.consistency = (
            ProjectorConsistency(grid, geometry, study.window, study.radiograph.water_mu_per_mm, steps) if steps else None
        )

    def forward(self, radiographs: Tensor) -> Tensor:
        """(B, 2, rows, columns) to (B, 1, z, y, x); see :class:`Generator`."""
        half, quarter = self.encoder(radiographs)
        raw = self.raw_lift(radiographs.unsqueeze(2)).squeeze(2)
        coordinates = self.get_buffer("coordinates").expand(raw.shape[0], -1, -1, -1, -1)
        lifted = [_both_views(lift(f)) for lift, f in zip(self.lifts, (half, quarter), strict=False)]
        fine = torch.cat([lifted[0], space_to_depth(raw), coordinates], dim=1)
        features = self.volume(fine, lifted[1] if len(lifted) > 1 else None)
        logits = depth_to_space(self.head(features)).contiguous()
        import os
        if os.environ.get("OUT")=="lin":
            predicted = torch.nn.functional.hardtanh(logits[:, :1]+1.7,0,1)+0.02*(logits[:, :1]-logits[:, :1].detach())
        else: predicted = torch.sigmoid(logits[:, :1])
        if self.consistency is None:
            return predicted
        weight = functional.softplus(logits[:, 1:])
        moved: Tensor = self.consistency(predicted, weight, radiographs * self.integral_scale)
        return moved


@final
class _VolumeNetwork(nn.Module):
    """A 3D U-Net whose second stage takes the coarser lifted features in."""

    def __init__(self, fine: int, coarse: int, width: int, stages: int) -> None:
        super().__init__()
        widths = [width * min(2**stage, WIDEST) for stage in range(stages)]
        self.stem = nn.Sequential(ConvUnit(3, fine, width, kernel=1), ResidualUnit(3, width))
        self.down = nn.ModuleList(
            ConvUnit(3, inputs, outputs, stride=2) for inputs, outputs in zip(widths, widths[1:], strict=False)
        )
        self.join = ConvUnit(3, coarse, widths[1], kernel=1) if stages > 1 else None
        self.inner = nn.ModuleList(ResidualUnit(3, outputs) for outputs in widths[1:])
        self.narrow = nn.ModuleList(
            ConvUnit(3, deep, shallow, kernel=1) for deep, shallow in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.up = nn.ModuleList(ResidualUnit(3, shallow) for shallow in widths[-2::-1])

    def forward(self, fine: Tensor, coarse: Tensor | None) -> Tensor:
        """(B, fine, z, y, x) and (B, coarse, z / 2, y / 2, x / 2) to (B, width, z, y, x)."""
        features = [self.stem(fine.contiguous(memory_format=torch.channels_last_3d))]
        for stage, (down, inner) in enumerate(zip(self.down, self.inner, strict=True)):
            deeper = down(features[-1])
            if stage == 0 and self.join is not None and coarse is not None:
                deeper = deeper + self.join(coarse.contiguous(memory_format=torch.channels_last_3d))
            features.append(inner(deeper))
        held = features[-1]
        for narrow, up, shallow in zip(self.narrow, self.up, features[-2::-1], strict=True):
            held = up(shallow + functional.interpolate(narrow(held), scale_factor=2, mode="nearest"))
        return held


def _both_views(lifted: Tensor) -> Tensor:
    """(B, 2, C, z, y, x) to (B, 3C, z, y, x): each view, and the product, which is large where both agree."""
    frontal, lateral = lifted[:, 0], lifted[:, 1]
    return torch.cat([frontal, lateral, frontal * lateral], dim=1)


def _coordinates(grid: Grid) -> Tensor:
    """(1, 3, z, y, x): z, y and x of each voxel centre in units of 100 mm from the isocentre."""
    axes = [torch.from_numpy(grid.centres_mm(axis)).float() / COORDINATE_MM for axis in range(3)]
    c= torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0)
    import os,math
    F=int(os.environ.get("FOURIER","0"))
    return torch.cat([c]+[f(c*math.pi*2**k/1.2) for k in range(F) for f in (torch.sin,torch.cos)],1)


def _check_divisible(grid: Grid, geometry: Geometry, stages: int) -> None:
    for field, shape, factor in (
        ("grid.shape", grid.shape, 2**stages),
        ("geometry.detector_shape", geometry.detector_shape, 2**HALVINGS),
    ):
        if any(cells % factor for cells in shape):
            what = f"{field} {tuple(shape)} cannot be halved as often as the lifting generator needs"
            raise Refusal(ExitCode.STUDY_INVALID, what, where=field, mend=f"choose multiples of {factor}")
