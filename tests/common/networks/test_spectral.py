from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from common.exchange import weights_of
from common.networks import build_discriminator, load_parameters
from common.networks.spectral import largest_singular_value
from common.study import DiscriminatorSettings, Study

MakeStudy = Callable[..., Study]


def with_spectral_norm(study: Study) -> Study:
    settings = DiscriminatorSettings(width=4, spectral_norm=True)
    return study.model_copy(update={"networks": study.networks.model_copy(update={"discriminator": settings})})


def test_power_iteration_finds_the_largest_singular_value() -> None:
    left, _ = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)))
    right, _ = torch.linalg.qr(torch.randn(40, 12, generator=torch.Generator().manual_seed(1)))
    matrix = left @ torch.diag(torch.tensor([3.0, 1.5, *[1.0] * 10])) @ right.t()
    assert largest_singular_value(matrix).item() == pytest.approx(3.0, rel=1e-3)


def test_it_is_never_above_the_true_one() -> None:
    matrix = torch.randn(32, 100, generator=torch.Generator().manual_seed(2))
    true = torch.linalg.matrix_norm(matrix, 2).item()
    assert 0.9 * true < largest_singular_value(matrix).item() <= true * (1 + 1e-6)


def test_every_convolution_has_a_largest_singular_value_near_one(make_study: MakeStudy) -> None:
    network = build_discriminator(with_spectral_norm(make_study()))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(7)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv3d)]
    assert len(convolutions) == 3
    for convolution in convolutions:
        norm = torch.linalg.matrix_norm(convolution.weight.detach().flatten(1), 2).item()
        assert 1 - 1e-5 <= norm < 1.15


def test_it_has_no_state_and_travels_like_any_other(make_study: MakeStudy, radiographs: Callable[..., Tensor]) -> None:
    study = with_spectral_norm(make_study())
    network, other = build_discriminator(study), build_discriminator(study)
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}
    volume, pair = torch.rand(1, 1, *study.grid.shape), radiographs(study)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
        once, again = network(volume, pair), network(volume, pair)
        load_parameters(other, weights_of(network))
        assert torch.equal(once, again)
        assert torch.equal(other(volume, pair), once)
