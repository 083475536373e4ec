from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from common.networks import build_generator
from common.networks.generator import Drawn
from common.networks.lifting_generator import LiftingGenerator
from common.study import Study

MakeStudy = Callable[..., Study]
Draw = Callable[..., Tensor]


def with_variance(study: Study, **generator: object) -> Study:
    document = study.model_dump()
    document["networks"]["generator"] |= {"variance": True} | generator
    document["optimisation"]["likelihood_weight"] = 0.1
    return Study.model_validate(document)


def test_without_consistency_the_raw_prediction_is_the_volume(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study(consistency_steps=0)
    prediction = build_generator(study).predict(radiographs(study))
    assert prediction.raw is prediction.volume
    assert prediction.log_variance is None and prediction.sd is None


def test_consistency_moves_the_raw_prediction(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study()
    generator = build_generator(study)
    with torch.inference_mode():
        prediction = generator.predict(radiographs(study))
        assert torch.equal(generator(radiographs(study)), prediction.volume)
    assert not torch.allclose(prediction.raw, prediction.volume)


def test_more_steps_outside_training_come_closer_to_the_radiographs(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study(consistency_steps=1, inference_consistency_steps=6)
    generator = build_generator(study)
    pair = 0.3 * radiographs(study)
    errors = []
    for training in (True, False):
        with torch.inference_mode():
            projected = generator.consistency.project(generator.train(training)(pair))
        errors.append(float((projected - pair * study.radiograph.integral_scale).square().sum()))
    assert errors[1] < 0.9 * errors[0]


def test_steps_outside_training_are_those_of_training_unless_given(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study()
    generator = build_generator(study)
    with torch.inference_mode():
        training = generator.train()(radiographs(study))
        assert torch.equal(generator.eval()(radiographs(study)), training)


def test_variance_starts_near_125_hu_in_a_window_of_2500(make_study: MakeStudy, radiographs: Draw) -> None:
    study = with_variance(make_study())
    with torch.inference_mode():
        prediction = build_generator(study).predict(radiographs(study, 2))
    assert prediction.sd is not None and prediction.sd.shape == prediction.volume.shape
    assert float(prediction.sd.median()) * 2500 == pytest.approx(2500 * math.exp(-3), rel=0.5)


def test_variance_stays_within_its_bounds_whatever_the_weights(make_study: MakeStudy, radiographs: Draw) -> None:
    study = with_variance(make_study(consistency_steps=0))
    generator = build_generator(study)
    for bias, bound in ((1e6, 0.0), (-1e6, -12.0)):
        with torch.no_grad():
            generator.head.bias[-8:] = bias
            prediction = generator.predict(radiographs(study))
        assert torch.allclose(prediction.log_variance, torch.tensor(bound))


def test_a_variance_that_weighs_consistency_is_trained_by_the_likelihood_alone(
    make_study: MakeStudy, radiographs: Draw
) -> None:
    study = with_variance(make_study(), consistency_weight="variance")
    generator = build_generator(study)
    generator.predict(radiographs(study)).volume.square().mean().backward()
    gradient = generator.head.weight.grad
    assert gradient.shape[0] == 32
    assert bool(gradient[:24].abs().sum() > 0)
    assert not gradient[24:].any()


def test_doubtful_voxels_move_most(make_study: MakeStudy, radiographs: Draw) -> None:
    study = with_variance(make_study(consistency_steps=1), consistency_weight="variance")
    generator = build_generator(study)
    with torch.no_grad():
        generator.head.weight[-8:] *= 30
        prediction = generator.predict(0.3 * radiographs(study))
    change, variance = (prediction.volume - prediction.raw).abs().ravel(), prediction.log_variance.exp().ravel()
    doubtful = variance > variance.quantile(0.9)
    assert change[doubtful].mean() > 2 * change[~doubtful].mean()


def test_an_edge_of_bone_moves_before_what_is_surely_brain(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study(consistency_steps=1)
    generator = build_generator(study)
    # Left half a toss between tissue and bone, right half brain.
    outputs = torch.zeros(1, 3, *study.grid.shape)
    outputs[:, 0] = -9.0
    outputs[:, 2, ..., study.grid.shape[2] // 2 :] = -9.0
    generator.draw = lambda _: Drawn(outputs)
    with torch.no_grad():
        prediction = generator.predict(0.3 * radiographs(study))
    change = (prediction.volume - prediction.raw).abs()
    left, right = change.chunk(2, dim=-1)
    assert left.mean() > 100 * right.mean()


def test_what_the_projector_misses_is_not_taken_from_the_brain(make_study: MakeStudy, radiographs: Draw) -> None:
    study = make_study(consistency_steps=8)
    generator = build_generator(study)
    axes = [torch.linspace(-1.3, 1.3, cells) for cells in study.grid.shape]
    radius = torch.sqrt(sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij")))
    outputs = torch.zeros(1, 3, *study.grid.shape)
    outputs[:, 0] = torch.where(radius > 1, 9.0, -9.0)
    # A skull, and inside it brain with a doubt that it might be bone.
    outputs[:, 2] = torch.where((radius > 0.75) & (radius < 1), 9.0, -5.0)
    inside = (radius < 0.6)[None, None]
    changes = []
    for soft in (None, torch.zeros(1, 1, *study.grid.shape)):
        generator.draw = lambda _, soft=soft: Drawn(outputs, soft)
        with torch.no_grad():
            prediction = generator.predict(0.5 * radiographs(study))
        changes.append((prediction.volume - prediction.raw).abs()[inside].mean() * study.window.width_hu)
    assert changes[0] > 20
    assert changes[1] < 0.2 * changes[0]


@pytest.mark.parametrize(
    ("generator", "outputs"),
    [
        ({"tissues_hu": (), "consistency_steps": 0}, 1),
        ({"tissues_hu": ()}, 2),
        ({"tissues_hu": (), "consistency_weight": "uniform"}, 1),
        ({"tissues_hu": (), "variance": True}, 3),
        ({"tissues_hu": (), "variance": True, "consistency_weight": "variance"}, 2),
        ({}, 3),
        ({"tissues_hu": (35.0, 700.0)}, 4),
        ({"consistency_weight": "learned", "variance": True}, 5),
    ],
)
def test_as_many_outputs_as_the_study_uses(make_study: MakeStudy, generator: dict[str, object], outputs: int) -> None:
    study = make_study()
    settings = study.networks.generator.model_copy(update=generator)
    networks = study.networks.model_copy(update={"generator": settings})
    assert build_generator(study.model_copy(update={"networks": networks})).outputs == outputs


@pytest.mark.parametrize(("size", "millions"), [("small", 1.13), ("base", 4.67), ("large", 11.68)])
def test_sizes_of_the_lifting_generator(make_study: MakeStudy, size: str, millions: float) -> None:
    study = make_study(size=size, width_2d=None, width_3d=None, stages_3d=None)
    with torch.device("meta"):
        generator = LiftingGenerator(study)
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
