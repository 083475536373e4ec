from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from client.case import Case
from client.learning import LocalTrainer
from client.learning.players import Players
from client.learning.samples import Batch, Samples
from client.phantom import template_head
from common.exchange import weights_of
from common.geometry import Grid
from common.networks import build_generator, load_parameters
from common.objective import to_window
from common.study import Study, Window

Tiny = Callable[..., Study]
MakeCases = Callable[..., list[Case]]
CPU = torch.device("cpu")


def first_batch(study: Study, cases: list[Case]) -> Batch:
    return next(iter(Samples(study, cases, 1)))


def test_fedprox_adds_mu_times_the_way_from_the_broadcast_to_the_gradient(tiny: Tiny, make_cases: MakeCases) -> None:
    grads = []
    for weight in (0.0, 0.5):
        study = tiny(proximal_weight=weight, gradient_clip=1e9, adversarial_weight=0.0)
        players = Players(study, CPU)
        players.start_round()
        with torch.no_grad():
            for parameter in players.generator.parameters():
                parameter.add_(0.01)
        assert players.step(first_batch(study, make_cases(study, 2)), 0) is not None
        grads.append([parameter.grad.clone() for parameter in players.generator.parameters()])
    for plain, pulled in zip(*grads, strict=True):
        assert torch.allclose(pulled - plain, torch.full_like(plain, 0.5 * 0.01), atol=1e-5)


def test_fedprox_keeps_a_round_nearer_to_its_broadcast(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    moved = []
    for weight in (0.0, 100.0):
        study = tiny(proximal_weight=weight, steps_per_round=4, adversarial_weight=0.0)
        start = weights_of(build_generator(study))
        trainer = LocalTrainer(study, make_cases(study, 2), tmp_path / str(weight), CPU)
        trained = trainer.train_round(1, start, None).generator
        moved.append(sum(float((trained[name] - start[name]).square().sum()) for name in start))
    assert moved[1] < 0.9 * moved[0]


def test_the_running_average_follows_the_steps_and_is_not_what_is_sent(
    tiny: Tiny, make_cases: MakeCases, tmp_path: Path
) -> None:
    study = tiny(ema_decay=0.5, steps_per_round=1, adversarial_weight=0.0)
    cases = make_cases(study, 2)
    start = weights_of(build_generator(study))
    first = LocalTrainer(study, cases, tmp_path, CPU).train_round(1, start, None)
    # Another process goes on where this one ended.
    second = LocalTrainer(study, cases, tmp_path, CPU).train_round(2, first.generator, None)
    assert first.averaged is not None and second.averaged is not None
    for name, tensor in second.averaged.items():
        assert torch.equal(first.averaged[name], first.generator[name])
        assert torch.allclose(tensor, 0.5 * (first.generator[name] + second.generator[name]), atol=1e-7)
    assert any(not torch.equal(second.averaged[name], second.generator[name]) for name in start)


def test_without_a_decay_there_is_no_average(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(steps_per_round=1, adversarial_weight=0.0)
    outcome = LocalTrainer(study, make_cases(study, 2), tmp_path, CPU).train_round(
        1, weights_of(build_generator(study)), None
    )
    assert outcome.averaged is None


def test_the_ramp_scales_the_adversarial_term(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(adversarial_from_step=0, adversarial_ramp_steps=3, adversarial_weight=0.4, raw_weight=0.0)
    for step, weight in ((0, 0.1), (1, 0.2), (5, 0.4)):
        losses = Players(study, CPU).step(first_batch(study, make_cases(study, 2)), step)
        assert losses is not None and losses.adversarial is not None
        rest = losses.reconstruction + study.optimisation.reprojection_weight * losses.reprojection
        assert losses.generator == pytest.approx(rest + weight * losses.adversarial, rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"adversarial_loss": "hinge"},
        {"feature_matching_weight": 0.5},
        {"axis_projection_weight": 1.0},
        {"brain_weight": 4.0},
        {"brain_contrast_weight": 1.0},
        {"raw_weight": 0.7},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_option_of_the_objective_changes_what_is_minimised(
    tiny: Tiny, make_cases: MakeCases, options: dict[str, float]
) -> None:
    losses = []
    for chosen in ({}, options):
        study = tiny(adversarial_from_step=0, **chosen)
        batch = first_batch(study, make_cases(study, 2))
        step = Players(study, CPU).step(batch, 0)
        assert step is not None
        losses.append(step.generator)
    assert losses[0] != losses[1]


def test_the_prediction_before_consistency_is_asked_of_once_more(tiny: Tiny, make_cases: MakeCases) -> None:
    taken: dict[tuple[int, float], float] = {}
    for steps in (0, 1):
        for weight in (0.0, 2.0):
            study = tiny(consistency_steps=steps, adversarial_weight=0.0, raw_weight=weight)
            losses = Players(study, CPU).step(first_batch(study, make_cases(study, 2)), 0)
            assert losses is not None
            taken[steps, weight] = losses.generator - study.optimisation.reprojection_weight * losses.reprojection
    # Without consistency there is one prediction, and its reconstruction is what both would count.
    assert taken[0, 2.0] == taken[0, 0.0]
    assert taken[1, 2.0] - taken[1, 0.0] == pytest.approx(2 * taken[0, 0.0], rel=1e-4)


def test_feature_matching_leaves_no_gradient_in_the_discriminator(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(adversarial_from_step=0, feature_matching_weight=1.0, lr_discriminator=1e-12)
    players = Players(study, CPU)
    players.step(first_batch(study, make_cases(study, 2)), 0)
    plain = Players(tiny(adversarial_from_step=0, lr_discriminator=1e-12, lr_generator=2e-3), CPU)
    plain.step(first_batch(study, make_cases(study, 2)), 0)
    assert players.discriminator is not None and plain.discriminator is not None
    pairs = zip(players.discriminator.parameters(), plain.discriminator.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


def test_the_variance_learns_where_the_generator_errs(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    base = tiny(steps_per_round=40, adversarial_weight=0.0, lr_generator=1e-2)
    document = base.model_dump()
    document["networks"]["generator"] |= {"variance": True}
    document["optimisation"]["likelihood_weight"] = 0.1
    study = Study.model_validate(document)
    cases = make_cases(study, 4)
    trainer = LocalTrainer(study, cases, tmp_path, CPU)
    trained = trainer.train_round(1, weights_of(build_generator(study)), None).generator
    generator = build_generator(study)
    load_parameters(generator, trained)
    batch = first_batch(study, cases)
    with torch.inference_mode():
        prediction = generator.predict(batch.integrals / study.radiograph.integral_scale)
    error = (prediction.raw - batch.target).abs()
    doubtful = prediction.sd > prediction.sd.quantile(0.8)
    assert error[doubtful].mean() > 2 * error[~doubtful].mean()


def test_a_study_without_an_adversarial_weight_builds_no_discriminator(tiny: Tiny) -> None:
    assert Players(tiny(adversarial_weight=0.0), CPU).discriminator is None
    assert Players(tiny(), CPU).discriminator is not None


def test_what_is_asked_of_the_brain_moves_the_atlas_and_nothing_of_the_skull(tiny: Tiny) -> None:
    grid = Grid(shape=(32, 32, 32), voxel_mm=7.2)
    head = to_window(torch.from_numpy(template_head(grid)), Window())[None, None]
    moved: list[dict[str, torch.Tensor]] = []
    for weight in (0.0, 50.0):
        document = tiny(adversarial_weight=0.0).model_dump()
        document["grid"], document["geometry"]["detector_shape"] = grid.model_dump(), (32, 32)
        document["networks"]["generator"] |= {"anatomy": "learned"}
        document["optimisation"] |= {"brain_window_weight": weight, "brain_contrast_weight": weight}
        study = Study.model_validate(document)
        players = Players(study, CPU)
        losses = players.step(Batch(head, torch.full((1, 2, 32, 32), 2.0)), 5)
        assert losses is not None
        moved.append({name: parameter.detach() for name, parameter in players.generator.named_parameters()})
    for name, parameter in moved[0].items():
        assert torch.equal(parameter, moved[1][name]) == (not name.startswith("anatomy.")), name


def test_a_repeated_step_repeats_exactly_though_a_network_draws_by_chance(tiny: Tiny) -> None:
    document = tiny(adversarial_weight=0.0).model_dump()
    document["networks"]["generator"] |= {"anatomy": "fixed"}
    document["optimisation"] |= {"brain_window_weight": 50.0}
    document["grid"], document["geometry"]["detector_shape"] = {"shape": (32, 32, 32), "voxel_mm": 7.2}, (32, 32)
    study = Study.model_validate(document)
    head = to_window(torch.from_numpy(template_head(study.grid)), Window())[None, None]
    batch, ends = Batch(head, torch.full((1, 2, 32, 32), 2.0)), []
    for steps in ((5, 6), (5, 6), (6, 6)):
        torch.manual_seed(len(ends))
        before = torch.get_rng_state()
        players = Players(study, CPU)
        assert all(players.step(batch, step) is not None for step in steps)
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(dict(players.generator.named_parameters())["anatomy.bend.weight"].detach())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
