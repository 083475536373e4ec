from __future__ import annotations

import pytest
import torch
from torch import nn

from common.networks.blocks import ConvUnit, JoinUnit, depth_to_space, group_norm, space_to_depth, start_as_resize


def test_space_to_depth_gathers_each_cube_of_eight_voxels() -> None:
    volume = torch.arange(2 * 4 * 4 * 6, dtype=torch.float32).view(1, 2, 4, 4, 6)
    packed = space_to_depth(volume)
    assert packed.shape == (1, 16, 2, 2, 3)
    plain = [volume[0, 1, 2 + z, y, 4 + x] for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    assert torch.equal(packed[0, 8:, 1, 0, 2], torch.stack(plain))


def test_depth_to_space_undoes_space_to_depth() -> None:
    volume = torch.rand(2, 3, 4, 6, 8)
    assert torch.equal(depth_to_space(space_to_depth(volume)), volume)


def test_output_starts_without_a_checkerboard_and_with_its_bias() -> None:
    layer = nn.Conv3d(3, 16, 1)
    start_as_resize(layer, (-1.5, 0.5))
    features = torch.rand(1, 3, 2, 2, 2)
    out = depth_to_space(layer(features))
    for offset in (0, 1):
        assert torch.equal(out[..., ::2, ::2, ::2], out[..., offset::2, offset::2, offset::2])
    assert layer.bias is not None
    assert layer.bias.tolist() == [-1.5] * 8 + [0.5] * 8


@pytest.mark.parametrize("channels", [1, 4, 6, 16, 30])
def test_group_norm_divides_any_number_of_channels(channels: int) -> None:
    norm = group_norm(channels)
    assert channels % norm.num_groups == 0
    assert norm.num_groups <= max(channels // 4, 1)


def test_joining_parts_is_a_convolution_of_all_channels_with_its_gradients() -> None:
    random = torch.Generator().manual_seed(4)
    first, second = (torch.randn(2, c, 3, 4, 5, generator=random, dtype=torch.float64) for c in (3, 5))
    shared = torch.randn(1, 2, 3, 4, 5, generator=random, dtype=torch.float64)
    join, plain = JoinUnit(10, 8).double(), ConvUnit(3, 10, 8, kernel=1).double()
    plain.load_state_dict(join.state_dict())
    together = torch.cat([first, second, shared.expand(2, -1, -1, -1, -1)], dim=1)
    joined, expected = join([first, second, shared]), plain(together)
    assert torch.allclose(joined, expected, atol=1e-12)
    for unit, out in ((join, joined), (plain, expected)):
        out.square().sum().backward()
        assert unit.convolution.weight.grad is not None
    assert torch.allclose(join.convolution.weight.grad, plain.convolution.weight.grad, atol=1e-10)
