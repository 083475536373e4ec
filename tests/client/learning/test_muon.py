"""Muon moves as its papers say, for convolutions as for matrices, and goes on after a restart."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from client.case import Case
from client.learning import LocalTrainer, TrainOutcome
from client.learning.moments import moments_of, restore_moments
from client.learning.muon import Muon, is_matrix, orthogonalised
from client.learning.players import Players
from common.errors import ExitCode, Refusal
from common.exchange import weights_of
from common.networks import build_discriminator, build_generator
from common.study import Study

CPU = torch.device("cpu")
Tiny = Callable[..., Study]
MakeCases = Callable[..., list[Case]]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(rows=st.integers(8, 40), columns=st.integers(8, 90), seed=st.integers(0, 2**31), scale=st.floats(-6, 6))
@settings(deadline=None, max_examples=60)
def test_every_direction_weighs_about_the_same_whatever_the_gradient(
    rows: int, columns: int, seed: int, scale: float
) -> None:
    matrix = noise(rows, columns, seed=seed) * 10**scale
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    kept = torch.linalg.svd(orthogonalised(matrix)).S[values > 0.02 * values[0]]
    assert kept.min() > 0.5
    assert kept.max() < 1.3
    nearest = left @ right
    assert float((orthogonalised(matrix) * nearest).sum()) > 0.7 * float(nearest.square().sum())


def test_a_zero_gradient_moves_nothing() -> None:
    assert not orthogonalised(torch.zeros(8, 12)).any()


def test_a_matrix_moves_as_with_the_muon_of_pytorch() -> None:
    """The peer iterates in bfloat16, so agreement ends at about a hundredth."""
    start, gradients = noise(24, 60), [noise(24, 60, seed=seed) for seed in range(1, 6)]
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings_of_both = {"lr": 0.01, "momentum": 0.95, "weight_decay": 0.1}
    mine = Muon([ours], **settings_of_both)
    peer = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings_of_both)
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        peer.step()
    moved = (theirs - start).detach()
    assert float((ours - theirs).detach().norm() / moved.norm()) < 0.02


def test_a_convolution_moves_as_the_matrix_of_its_outputs() -> None:
    start, gradient = noise(16, 6, 3, 3, 3), noise(16, 6, 3, 3, 3, seed=1)
    whole, flat = nn.Parameter(start.clone()), nn.Parameter(start.reshape(16, -1).clone())
    whole.grad, flat.grad = gradient.clone(), gradient.reshape(16, -1).clone()
    Muon([whole], lr=0.01).step()
    Muon([flat], lr=0.01).step()
    assert torch.equal(whole.reshape(16, -1), flat)
    change = (whole - start).detach()
    assert math.isclose(float(change.square().mean().sqrt()), 0.01 * 0.2, rel_tol=0.2), "the scale of AdamW's update"


@pytest.mark.parametrize("shape", [(5,), (4, 40), (40, 4), (4, 2, 3, 3, 3)])
def test_vectors_and_thin_matrices_move_as_with_adamw(shape: tuple[int, ...]) -> None:
    ours, theirs = nn.Parameter(noise(*shape)), nn.Parameter(noise(*shape))
    assert not is_matrix(ours)
    mine = Muon([ours], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    peer = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for seed in range(1, 5):
        ours.grad = noise(*shape, seed=seed)
        theirs.grad = ours.grad.clone()
        mine.step()
        peer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_parameter_without_a_gradient_stays() -> None:
    parameter = nn.Parameter(noise(16, 16))
    Muon([parameter], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(parameter, noise(16, 16))


def test_a_closure_is_asked_once_and_its_loss_is_returned() -> None:
    parameter = nn.Parameter(noise(16, 16))

    def loss() -> float:
        value = parameter.square().sum()
        value.backward()
        return float(value.detach())

    first = float(noise(16, 16).square().sum())
    assert math.isclose(Muon([parameter], lr=0.1).step(loss), first, rel_tol=1e-6)
    assert float(parameter.detach().square().sum()) < first


def trained(study: Study, cases: list[Case], state: Path, rounds: int, restart: bool) -> TrainOutcome:
    trainer = LocalTrainer(study, cases, state, CPU)
    generator, discriminator = weights_of(build_generator(study)), weights_of(build_discriminator(study))
    for number in range(1, rounds + 1):
        if restart:
            trainer = LocalTrainer(study, cases, state, CPU)
        outcome = trainer.train_round(number, generator, discriminator)
        generator, discriminator = outcome.generator, outcome.discriminator
    return outcome


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_restarted_site_goes_on_bit_for_bit_with_either(
    tiny: Tiny, make_cases: MakeCases, tmp_path: Path, optimiser: str
) -> None:
    study = tiny(optimiser=optimiser)
    cases = make_cases(study, 4)
    whole, restarted = (trained(study, cases, tmp_path / str(flag), 3, flag) for flag in (False, True))
    assert all(torch.equal(whole.generator[name], restarted.generator[name]) for name in whole.generator)


def test_moments_of_the_other_optimiser_are_refused(tiny: Tiny) -> None:
    muon, adamw = (Players(tiny(optimiser=name), CPU) for name in ("muon", "adamw"))
    study = muon.study
    assert any(is_matrix(parameter) for parameter in muon.generator.parameters())
    volume = torch.rand(2, 1, *study.grid.shape)
    radiographs = torch.rand(2, 2, *study.geometry.detector_shape)
    for players in (muon, adamw):
        players.generator(radiographs).sub(volume).square().mean().backward()
        players.optimiser_g.step()
    both = [(players, moments_of("generator", players.generator, players.optimiser_g)) for players in (muon, adamw)]
    for (one, kept), (other, _) in (both, both[::-1]):
        restore_moments("generator", one.generator, one.optimiser_g, kept)
        with pytest.raises(Refusal) as refusal:
            restore_moments("generator", other.generator, other.optimiser_g, kept)
        assert refusal.value.code is ExitCode.RUN_INVALID
