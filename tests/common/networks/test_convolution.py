from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from common.networks.convolution import PointwiseConv3d, VolumeConv3d
from tests import absences


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("bias", [False, True])
def test_a_pointwise_convolution_is_a_convolution_with_its_gradients(layout: torch.memory_format, bias: bool) -> None:
    layer = PointwiseConv3d(5, 3, bias=bias).double()
    features = torch.rand(2, 5, 4, 3, 2, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    ours, plain = layer(features), functional.conv3d(features, layer.weight, layer.bias)
    assert torch.allclose(ours, plain)
    wanted = [features, *layer.parameters()]
    pairs = zip(*(torch.autograd.grad(out.square().sum(), wanted) for out in (ours, plain)), strict=True)
    assert all(torch.allclose(mine, reference) for mine, reference in pairs)
    assert ours.is_contiguous(memory_format=torch.channels_last_3d)


@settings(deadline=None)
@given(
    batch=st.integers(1, 2),
    shape=st.tuples(st.integers(3, 9), st.integers(3, 6), st.integers(3, 6)),
    kernel=st.sampled_from([1, 2, 3, 4]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    bias=st.booleans(),
)
def test_a_volume_is_convolved_as_by_pytorch_with_its_gradients(
    batch: int, shape: tuple[int, int, int], kernel: int, stride: int, padding: int, bias: bool
) -> None:
    padding = min(padding, kernel // 2)
    shape = (max(shape[0], kernel), max(shape[1], kernel), max(shape[2], kernel))
    layer = VolumeConv3d(2, 3, kernel, stride=stride, padding=padding, bias=bias).double()
    features = torch.rand(batch, 2, *shape, dtype=torch.float64, requires_grad=True)
    plain = functional.conv3d(features, layer.weight, layer.bias, stride, padding)
    ours = layer(features)
    assert torch.allclose(ours, plain, atol=1e-12)
    wanted = [features, *layer.parameters()]
    pairs = zip(*(torch.autograd.grad(out.square().sum(), wanted) for out in (ours, plain)), strict=True)
    assert all(torch.allclose(mine, reference, atol=1e-10) for mine, reference in pairs)


def _operations(layer: nn.Module, features: torch.Tensor) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        layer(features).sum().backward()
    return {event.key for event in profile.key_averages()}


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason=absences.ONEDNN)
def test_a_lone_small_volume_is_not_left_to_pytorchs_slow_convolution() -> None:
    features = torch.rand(1, 8, 16, 16, 16)
    slow = "aten::slow_conv3d"
    assert any(slow in name for name in _operations(nn.Conv3d(8, 8, 3, padding=1), features))
    assert not any(slow in name for name in _operations(VolumeConv3d(8, 8, 3, padding=1), features))
