"""The lifting generator: radiograph features carried back along the true rays into a small volume network."""

from __future__ import annotations

import itertools
import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid
from common.networks.blocks import ConvUnit, JoinUnit, ResidualUnit, depth_to_space, space_to_depth, start_as_resize
from common.networks.brain_atlas import BentAtlas
from common.networks.convolution import VolumeConv3d
from common.networks.generator import Drawn, Generator
from common.networks.radiograph_encoder import HALVINGS, RadiographEncoder
from common.networks.radiograph_input import parted
from common.projection import Lifting
from common.study import Study

COORDINATE_MM = 100.0
WAVES_MM = (240.0, 120.0, 60.0)
RAW_CHANNELS = 16
WIDEST = 4

# Tensors of one shape but for their channels, which a network takes as though they were one.
Parts = list[Tensor]


@final
class LiftingGenerator(Generator):
    """A shared 2D U-Net, its features lifted at two resolutions, a 3D U-Net, and projector consistency at the output.

    The volume network works at half the grid's resolution: the raw radiographs enter lifted at full resolution, as
    2-cubes in channels, and the output leaves the same way.

    Args:
        study: grid, geometry, window, radiograph constants and the generator's settings.

    Raises:
        Refusal: ``STUDY_INVALID`` if grid or detector cannot be halved as often as the network needs.
    """

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        widths, grid, geometry = study.networks.generator.widths, study.grid, study.geometry
        _check_divisible(grid, geometry, widths.stages_3d)
        factors = (2, 4)[: widths.stages_3d]
        self.encoder = RadiographEncoder(widths.width_2d, outlets=len(factors), masked=self.masked)
        self.raw_lift = Lifting(grid, geometry)
        self.lifts = nn.ModuleList(Lifting(grid.coarser(f), geometry.coarser(f)) for f in factors)
        coordinates = _coordinates(grid.coarser(2))
        self.register_buffer("coordinates", coordinates, persistent=False)
        lifted = [3 * channels for channels in self.encoder.channels]
        fine = lifted[0] + RAW_CHANNELS + coordinates.shape[1]
        self.volume = _VolumeNetwork(fine, lifted[1:], widths.width_3d, widths.stages_3d)
        self.head = VolumeConv3d(widths.width_3d, 8 * self.outputs, 3, padding=1)
        start_as_resize(self.head, self.first_outputs)
        anatomy = study.networks.generator.anatomy
        atlas = None if anatomy == "none" else BentAtlas(grid, self.volume.deepest, learned=anatomy == "learned")
        self.anatomy = atlas

    def draw(self, radiographs: Tensor) -> Drawn:
        """Radiographs, with their mask if it is ``masked``, to what the grid's voxels hold; see :class:`Generator`."""
        raw = self.raw_lift(parted(radiographs)[0].unsqueeze(2)).squeeze(2)
        lifted = [_both_views(lift(f)) for lift, f in zip(self.lifts, self.encoder(radiographs), strict=True)]
        fine = [*lifted[0], space_to_depth(raw), self.get_buffer("coordinates")]
        held, deepest = self.volume(fine, lifted[1:])
        outputs = depth_to_space(self.head(held))
        # The skull is learned as though there were no brain: what is drawn inside it costs it nothing.
        return Drawn(outputs, None if self.anatomy is None else self.anatomy(deepest.detach()))


@final
class _VolumeNetwork(nn.Module):
    """A 3D U-Net whose second stage takes the coarser lifted features in."""

    def __init__(self, fine: int, coarse: list[int], width: int, stages: int) -> None:
        super().__init__()
        widths = [width * min(2**stage, WIDEST) for stage in range(stages)]
        self.deepest = widths[-1]
        self.stem = nn.Sequential(JoinUnit(fine, width), ResidualUnit(3, width))
        self.down = nn.ModuleList(
            ConvUnit(3, inputs, outputs, stride=2) for inputs, outputs in itertools.pairwise(widths)
        )
        self.join = nn.ModuleList(JoinUnit(channels, widths[1]) for channels in coarse)
        self.inner = nn.ModuleList(ResidualUnit(3, outputs) for outputs in widths[1:])
        self.narrow = nn.ModuleList(
            ConvUnit(3, deep, shallow, kernel=1) for deep, shallow in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.up = nn.ModuleList(ResidualUnit(3, shallow) for shallow in widths[-2::-1])

    def forward(self, fine: Parts, coarse: list[Parts]) -> tuple[Tensor, Tensor]:
        """(B, fine, z, y, x) and at most one (B, coarse, z / 2, y / 2, x / 2), in parts, to (B, width, z, y, x),
        and the deepest features on the way."""
        features = [self.stem(fine)]
        joined = [join(lifted) for join, lifted in zip(self.join, coarse, strict=True)]
        for stage, (down, inner) in enumerate(zip(self.down, self.inner, strict=True)):
            deeper = down(features[-1])
            features.append(inner(deeper + joined[0] if stage == 0 else deeper))
        held: Tensor = features[-1]
        for narrow, up, shallow in zip(self.narrow, self.up, features[-2::-1], strict=True):
            held = up(shallow + functional.interpolate(narrow(held), scale_factor=2, mode="nearest"))
        return held, features[-1]


def _both_views(lifted: Tensor) -> Parts:
    """(B, 2, C, z, y, x) to three of (B, C, z, y, x): each view, and the product, which is large where both agree."""
    frontal, lateral = lifted[:, 0], lifted[:, 1]
    return [frontal, lateral, frontal * lateral]


def _coordinates(grid: Grid) -> Tensor:
    """(1, 21, z, y, x): z, y, x of each voxel centre in units of 100 mm, with their sines and cosines.

    A network of local convolutions draws an average head from waves much sooner than from plain coordinates (Fourier
    features: Tancik et al., NeurIPS 2020).
    """
    axes = [torch.from_numpy(grid.centres_mm(axis)).float() for axis in range(3)]
    place_mm = torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0)
    angles = [place_mm * (2 * math.pi / period_mm) for period_mm in WAVES_MM]
    return torch.cat([place_mm / COORDINATE_MM, *(wave(a) for a in angles for wave in (torch.sin, torch.cos))], dim=1)


def _check_divisible(grid: Grid, geometry: Geometry, stages: int) -> None:
    for field, shape, factor in (
        ("grid.shape", grid.shape, 2**stages),
        ("geometry.detector_shape", geometry.detector_shape, 2**HALVINGS),
    ):
        if any(cells % factor for cells in shape):
            what = f"{field} {tuple(shape)} cannot be halved as often as the lifting generator needs"
            raise Refusal(ExitCode.STUDY_INVALID, what, where=field, mend=f"choose multiples of {factor}")
