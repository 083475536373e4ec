from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from common.errors import ExitCode, Refusal
from common.exchange import weights_of
from common.networks import Generator, build_discriminator, build_generator, load_parameters
from common.networks.discriminator import brain_window, detail
from common.study import Study, Window

MakeStudy = Callable[..., Study]
Draw = Callable[..., Tensor]


def test_every_build_of_a_study_starts_from_the_same_bits(make_study: MakeStudy) -> None:
    study = make_study()
    torch.manual_seed(1)
    first = build_generator(study).state_dict()
    torch.manual_seed(2)
    second = build_generator(study).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_building_leaves_the_callers_randomness_alone(make_study: MakeStudy) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_generator(make_study())
    build_discriminator(make_study())
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_gives_other_first_weights(make_study: MakeStudy) -> None:
    study = make_study()
    other = study.model_copy(update={"optimisation": study.optimisation.model_copy(update={"seed": 7})})
    a, b = build_generator(study), build_generator(other)
    assert any(not torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_nothing_but_parameters_is_in_the_state(make_study: MakeStudy, build: Callable[[Study], nn.Module]) -> None:
    network = build(make_study())
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_parameters_do_not_depend_on_the_grid_or_detector(
    make_study: MakeStudy, build: Callable[[Study], nn.Module]
) -> None:
    coarse, fine = build(make_study(32, 32)), build(make_study(48, 64))
    shapes = [{name: p.shape for name, p in network.named_parameters()} for network in (coarse, fine)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(("cells", "detector", "stages"), [(16, 16, 1), (32, 32, 2), (32, 64, 3)])
def test_generator_fills_the_grid_with_values_in_the_window(
    make_study: MakeStudy, radiographs: Draw, cells: int, detector: int, stages: int
) -> None:
    study = make_study(cells, detector, stages_3d=stages)
    generator = build_generator(study)
    assert isinstance(generator, Generator)
    with torch.inference_mode():
        volume = generator(radiographs(study, 2))
    assert volume.shape == (2, 1, *study.grid.shape)
    assert 0 <= float(volume.min()) <= float(volume.max()) <= 1


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("steps", [0, 2])
def test_every_parameter_of_the_generator_learns(
    make_study: MakeStudy, radiographs: Draw, stages: int, steps: int
) -> None:
    study = make_study(stages_3d=stages, consistency_steps=steps)
    generator = build_generator(study)
    generator(radiographs(study, 2)).square().mean().backward()
    idle = [n for n, p in generator.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert idle == []


def test_every_parameter_of_the_discriminator_learns(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study()
    discriminator = build_discriminator(study)
    discriminator(torch.rand(2, 1, *study.grid.shape), radiographs(study, 2)).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in discriminator.parameters())


def test_discriminator_scores_patches_and_heeds_the_radiographs(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study()
    discriminator = build_discriminator(study)
    volume, pair = torch.rand(1, 1, *study.grid.shape), radiographs(study)
    with torch.inference_mode():
        scores = discriminator(volume, pair)
        swapped = discriminator(volume, pair.flip(1))
    assert scores.shape == (1, 1, 8, 8, 8)
    assert not torch.allclose(scores, swapped)


def test_a_mirrored_frontal_radiograph_changes_the_volume(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study()
    generator = build_generator(study)
    pair = radiographs(study)
    mirrored = torch.stack([pair[:, 0].flip(-1), pair[:, 1]], dim=1)
    with torch.inference_mode():
        assert not torch.allclose(generator(pair), generator(mirrored))


def test_cases_of_a_batch_do_not_mix(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study()
    generator = build_generator(study)
    pair = radiographs(study, 2)
    with torch.inference_mode():
        together = generator(pair)
        alone = torch.cat([generator(pair[:1]), generator(pair[1:])])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_grid_that_cannot_be_halved_is_refused_with_its_field(make_study: MakeStudy) -> None:
    with pytest.raises(Refusal, match=r"grid\.shape") as refusal:
        build_generator(make_study(36, 32, stages_3d=3))
    assert refusal.value.code is ExitCode.STUDY_INVALID


def test_a_detector_that_cannot_be_halved_is_refused_with_its_field(make_study: MakeStudy) -> None:
    with pytest.raises(Refusal, match=r"geometry\.detector_shape"):
        build_generator(make_study(32, 40))


def test_parameters_load_by_name_and_leave_buffers(make_study: MakeStudy) -> None:
    generator, other = build_generator(make_study()), build_generator(make_study())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    load_parameters(generator, weights_of(other))
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_are_refused_before_anything_is_copied(make_study: MakeStudy, fault: str) -> None:
    generator = build_generator(make_study())
    before = weights_of(generator)
    weights = {name: tensor + 1 for name, tensor in before.items()}
    last = list(weights)[-1]
    if fault == "missing":
        del weights[last]
    elif fault == "extra":
        weights["another"] = torch.zeros(1)
    else:
        weights[last] = torch.zeros(3, 3, 3)
    with pytest.raises(Refusal) as refusal:
        load_parameters(generator, weights)
    assert refusal.value.code is ExitCode.EXCHANGE_INVALID
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(generator).items())


def test_detail_is_what_a_voxel_differs_from_its_neighbourhood() -> None:
    volume = torch.rand(1, 1, 4, 5, 6, generator=torch.Generator().manual_seed(1))
    inner = 10 * (volume[0, 0, 2, 2, 3] - volume[0, 0, 1:4, 1:4, 2:5].mean())
    corner = 10 * (volume[0, 0, 0, 0, 0] - volume[0, 0, :2, :2, :2].mean())
    found = detail(volume)[0, 0]
    assert found[2, 2, 3] == pytest.approx(float(inner), abs=1e-5)
    assert found[0, 0, 0] == pytest.approx(float(corner), abs=1e-5)


def test_a_discriminator_may_see_the_window_in_which_brains_differ(make_study: MakeStudy, radiographs: Draw) -> None:
    window = Window()
    hu = torch.tensor([-200.0, 0.0, 20.0, 80.0, 900.0])
    shown = brain_window((hu - window.low_hu) / window.width_hu, window)
    assert torch.allclose(shown, torch.tensor([0.0, 0.0, 0.25, 1.0, 1.0]), atol=1e-5)
    plain = make_study()
    document = plain.model_dump()
    document["networks"]["discriminator"]["brain_window"] = True
    asked = Study.model_validate(document)
    assert "brain_window" not in plain.canonical_json()
    assert asked.sha256 != plain.sha256
    judge = build_discriminator(asked)
    grey = torch.full((1, 1, *asked.grid.shape), (30.0 - window.low_hu) / window.width_hu)
    grey.requires_grad_()
    judge(grey, radiographs(asked)).sum().backward()
    assert grey.grad is not None
    assert judge.stem.weight.shape[1] == build_discriminator(plain).stem.weight.shape[1] + 1
