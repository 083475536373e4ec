from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.networks.nets.densenet import DenseNet
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid
from common.networks import build_generator
from common.networks.dense_encoder import DENSE_LAYERS, GROWTH, DenseEncoder
from common.networks.x2ct import X2ctGenerator
from common.study import GeneratorSettings, Networks, Study

Draw = Callable[..., Tensor]


@pytest.fixture(scope="module")
def make_x2ct() -> Callable[..., Study]:
    def make(cells: int = 32, detector: int = 32, **generator: object) -> Study:
        settings = {"name": "x2ct", "consistency_steps": 0} | generator
        return Study(
            name="x2ct",
            grid=Grid(shape=(cells, cells, cells), voxel_mm=230.4 / cells),
            geometry=Geometry(detector_shape=(detector, detector), pixel_mm=384 / detector),
            networks=Networks(generator=GeneratorSettings.model_validate(settings)),
        )

    return make


@pytest.mark.parametrize(("cells", "published_millions"), [(64, 41.5), (128, 61.7)])
def test_parameters_are_as_many_as_published_within_two_per_cent(
    make_x2ct: Callable[..., Study], cells: int, published_millions: float
) -> None:
    # The difference between both grids, 20.2 million, is the bottleneck's alone and is met exactly. What is missing,
    # 0.4 million, is in the decoder, whose inner widths the description leaves open.
    with torch.device("meta"):
        generator = X2ctGenerator(make_x2ct(cells, cells))
    millions = sum(parameter.numel() for parameter in generator.parameters()) / 1e6
    assert millions == pytest.approx(published_millions, rel=0.02)


def test_the_finer_grid_costs_what_the_publication_says(make_x2ct: Callable[..., Study]) -> None:
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in X2ctGenerator(make_x2ct(cells, cells)).parameters()) / 1e6 for cells in (64, 128)
        ]
    assert counts[1] - counts[0] == pytest.approx(61.7 - 41.5, abs=0.05)


def test_dense_blocks_are_those_of_monais_densenet() -> None:
    def dense_parameters(network: torch.nn.Module, layer: str) -> int:
        return sum(
            parameter.numel()
            for module in network.modules()
            if type(module).__name__ == layer
            for parameter in module.parameters()
        )

    with torch.device("meta"):
        ours = DenseEncoder()
        theirs = DenseNet(2, 1, 1, init_features=64, growth_rate=GROWTH, block_config=DENSE_LAYERS, bn_size=4)
    assert dense_parameters(ours, "_DenseLayer") == dense_parameters(theirs, "_DenseLayer") > 5e6


@pytest.fixture(scope="module")
def small(make_x2ct: Callable[..., Study]) -> tuple[Study, X2ctGenerator]:
    study = make_x2ct()
    generator = build_generator(study)
    assert isinstance(generator, X2ctGenerator)
    return study, generator


def test_it_fills_the_grid_with_values_in_the_window_and_every_parameter_learns(
    small: tuple[Study, X2ctGenerator], radiographs: Draw
) -> None:
    study, generator = small
    volume = generator(radiographs(study, 2))
    assert volume.shape == (2, 1, *study.grid.shape)
    assert 0 <= float(volume.detach().min()) <= float(volume.detach().max()) <= 1
    volume.square().mean().backward()
    idle = [n for n, p in generator.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert idle == []


def test_nothing_but_parameters_is_in_its_state(small: tuple[Study, X2ctGenerator]) -> None:
    generator = small[1]
    assert set(generator.state_dict()) == {name for name, _ in generator.named_parameters()}


def test_each_view_is_read_in_its_own_plane(small: tuple[Study, X2ctGenerator]) -> None:
    study, generator = small
    rows, columns = study.geometry.detector_shape
    pair = torch.zeros(1, 2, rows, columns)
    pair[0, 0, : rows // 2, columns // 2 :] = 1.0
    pair[0, 1, rows // 2 :, : columns // 2] = 1.0
    planes = [
        view.plane(pair.unsqueeze(2))[:, view.view].select(view.along, 4)[0, 0]
        for view in (generator.frontal, generator.lateral)
    ]
    z, x = study.grid.shape[0], study.grid.shape[2]
    # The top of the frontal image is superior, its right half the patient's left: high z, high x.
    assert float(planes[0][z // 2 + 2, x // 2 + 2]) == 1.0
    assert float(planes[0][z // 2 - 3, x // 2 + 2]) == float(planes[0][z // 2 + 2, x // 2 - 3]) == 0.0
    # The lateral image's lower left is inferior and anterior: low z, low y.
    assert float(planes[1][z // 2 - 3, x // 2 - 3]) == 1.0
    assert float(planes[1][z // 2 + 2, x // 2 - 3]) == float(planes[1][z // 2 - 3, x // 2 + 2]) == 0.0


def test_a_features_place_in_both_views_is_its_place_in_the_volume(small: tuple[Study, X2ctGenerator]) -> None:
    generator = small[1]
    for view, along in ((generator.frontal, 3), (generator.lateral, 4)):
        features = [torch.zeros(1, c, 32 >> level, 32 >> level) for level, c in enumerate(view.encoder.channels)]
        features[1] = torch.rand(features[1].shape)
        with torch.inference_mode():
            solid = view.bridge(3, features)
        assert solid.shape == (1, 16, 16, 16, 16)
        # Copies along the view's axis differ at the faces only, where the 3D convolution is padded.
        inner = solid.movedim(along, 0)[2:-2]
        assert torch.allclose(inner, inner[:1].expand_as(inner), atol=1e-5)


def test_it_takes_consistency_and_variance_where_the_study_asks(make_x2ct: Callable[..., Study]) -> None:
    study = make_x2ct(consistency_steps=1, consistency_weight="uniform")
    with torch.device("meta"):
        assert X2ctGenerator(study).outputs == 1


def test_a_grid_that_cannot_be_halved_is_refused_with_its_field(make_x2ct: Callable[..., Study]) -> None:
    with pytest.raises(Refusal, match=r"grid\.shape") as refusal:
        build_generator(make_x2ct(48))
    assert refusal.value.code is ExitCode.STUDY_INVALID
