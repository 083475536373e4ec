"""X2CT: the biplanar generator of Ying et al., X2CT-GAN (CVPR 2019), for comparison; written from its description.

It knows nothing of the cone beam: each 2D feature map is copied along the axis its view looks along. Differences from
the publication: GroupNorm throughout, because batches are tiny and running statistics never travel; no dropout;
radiographs are resampled to the grid in the isocentre's plane, where the paper's match its volumes; a sigmoid output.
"""

from __future__ import annotations

import itertools
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import ExitCode, Refusal
from common.geometry import Grid
from common.networks.blocks import group_norm
from common.networks.convolution import VolumeConv3d
from common.networks.dense_encoder import DENSE_LAYERS, DenseEncoder
from common.networks.generator import Drawn, Generator
from common.projection import Lifting
from common.study import Study

CHANNELS = (256, 128, 64, 32, 16, 16)
HALVINGS = len(DENSE_LAYERS)
# A slab of nine voxels has its middle plane in the isocentre.
SLAB, MIDDLE = 9, 4


@final
class X2ctGenerator(Generator):
    """Two views, each an encoder and a decoder of its own, and a decoder that fuses them.

    Args:
        study: grid, geometry, radiograph constants and the generator's settings.

    Raises:
        Refusal: ``STUDY_INVALID`` if the grid cannot be halved five times.
    """

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        if any(cells % 2**HALVINGS for cells in study.grid.shape):
            what = f"grid.shape {study.grid.shape} cannot be halved as often as the x2ct generator needs"
            mend = f"choose multiples of {2**HALVINGS}"
            raise Refusal(ExitCode.STUDY_INVALID, what, where="grid.shape", mend=mend)
        self.frontal = _View(study, 0)
        self.lateral = _View(study, 1)
        self.fusion = _decoder(beside=2)
        self.head = VolumeConv3d(CHANNELS[-1], self.outputs, 3, padding=1)

    def draw(self, radiographs: Tensor) -> Drawn:
        """(B, 2, rows, columns) to what the grid's voxels hold; see :class:`Generator`."""
        views = (self.frontal, self.lateral)
        features = [view.encode(radiographs) for view in views]
        held = [view.bottleneck(f[-1]) for view, f in zip(views, features, strict=True)]
        fused = _mean(held)
        for level, fuse in enumerate(self.fusion):
            shared = _mean([view.bridge(level, f) for view, f in zip(views, features, strict=True)])
            held = [view.decode(level, volume, shared) for view, volume in zip(views, held, strict=True)]
            fused = fuse(fused, [shared, _mean(held)])
        return Drawn(self.head(fused))


@final
class _View(nn.Module):
    """One view's encoder, bottleneck (the paper's connection A), bridges to 3D (connection B) and decoder.

    All volumes are in the patient's axes, so that the average of both views (connection C) needs no permutation.
    """

    def __init__(self, study: Study, view: int) -> None:
        super().__init__()
        self.view = view
        self.along = (3, 4)[view]
        self.shape = study.grid.shape
        slab = list(self.shape)
        slab[1 + view] = SLAB
        self.plane = Lifting(Grid(shape=(slab[0], slab[1], slab[2]), voxel_mm=study.grid.voxel_mm), study.geometry)
        self.encoder = DenseEncoder()
        deepest = [cells // 2**HALVINGS for cells in self.shape]
        self.deepest = (CHANNELS[0], deepest[0], deepest[1], deepest[2])
        self.linear = nn.Linear(self.encoder.channels[-1], CHANNELS[0] * deepest[0] * deepest[1] * deepest[2])
        pairs = list(zip(self.encoder.channels[-2::-1], CHANNELS[1:], strict=True))
        self.flat = nn.ModuleList(_unit(2, inputs, outputs) for inputs, outputs in pairs)
        self.solid = nn.ModuleList(_unit(3, outputs, outputs) for _, outputs in pairs)
        self.decoder = _decoder(beside=1)

    def encode(self, radiographs: Tensor) -> list[Tensor]:
        """(B, 2, rows, columns) to this view's 2D features, finest first, at six resolutions of the grid."""
        plane = self.plane(radiographs.unsqueeze(2))[:, self.view].select(self.along, MIDDLE)
        features: list[Tensor] = self.encoder(plane)
        return features

    def bottleneck(self, deepest: Tensor) -> Tensor:
        """The mean over the coarsest 2D map, by a linear layer, as the coarsest volume."""
        return functional.relu(self.linear(deepest.mean(dim=(-2, -1)))).view(-1, *self.deepest)

    def bridge(self, level: int, features: list[Tensor]) -> Tensor:
        """The 2D features of the decoder's level, copied along the view's axis and mixed in 3D."""
        flat = self.flat[level](features[-2 - level])
        copies = self.shape[self.along - 2] // 2 ** (HALVINGS - 1 - level)
        sizes = [-1] * 5
        sizes[self.along] = copies
        solid: Tensor = self.solid[level](flat.unsqueeze(self.along).expand(sizes))
        return solid

    def decode(self, level: int, volume: Tensor, shared: Tensor) -> Tensor:
        """One level of this view's decoder, twice as fine."""
        decoded: Tensor = self.decoder[level](volume, [shared])
        return decoded


@final
class _Raise(nn.Module):
    """A decoder level: twice the resolution, then a mix with maps beside it."""

    def __init__(self, inputs: int, outputs: int, beside: int) -> None:
        super().__init__()
        self.up = _unit(3, inputs, outputs)
        self.mix = _unit(3, outputs * (1 + beside), outputs)

    def forward(self, volume: Tensor, beside: list[Tensor]) -> Tensor:
        """(B, inputs, z, y, x) and (B, outputs, 2z, 2y, 2x) each to (B, outputs, 2z, 2y, 2x)."""
        raised = self.up(functional.interpolate(volume, scale_factor=2, mode="nearest"))
        mixed: Tensor = self.mix(torch.cat([raised, *beside], dim=1))
        return mixed


def _decoder(*, beside: int) -> nn.ModuleList:
    return nn.ModuleList(_Raise(inputs, outputs, beside) for inputs, outputs in itertools.pairwise(CHANNELS))


def _unit(dimensions: int, inputs: int, outputs: int) -> nn.Sequential:
    """3-wide convolution, GroupNorm, ReLU."""
    convolution = nn.Conv2d if dimensions == 2 else VolumeConv3d
    return nn.Sequential(
        convolution(inputs, outputs, 3, padding=1, bias=False), group_norm(outputs), nn.ReLU(inplace=True)
    )


def _mean(pair: list[Tensor]) -> Tensor:
    return 0.5 * (pair[0] + pair[1])
