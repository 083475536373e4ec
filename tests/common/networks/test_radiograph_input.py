from __future__ import annotations

import torch

from common.networks import build_generator, network_input
from common.study import Study


def _sees_films(study: Study) -> Study:
    document = study.model_dump()
    document["film"] = {"share": 0.5}
    return Study.model_validate(document)


def test_the_mask_lies_behind_both_views_and_a_drr_has_none() -> None:
    integrals, exposed = torch.rand(1, 2, 4, 4), torch.ones(1, 2, 4, 4, dtype=torch.bool)
    assert torch.equal(network_input(integrals, None, 2.0), integrals / 2)
    both = network_input(integrals, exposed, 2.0)
    assert torch.equal(both, torch.cat([integrals / 2, torch.ones_like(integrals)], dim=1))


def test_only_a_network_that_sees_films_has_a_channel_for_their_mask(study: Study) -> None:
    plain, masked = (dict(build_generator(one).named_parameters()) for one in (study, _sees_films(study)))
    shapes = {name: (len(plain[name].shape), len(masked[name].shape)) for name in plain if name in masked}
    assert plain.keys() == masked.keys()
    assert all(one == other for one, other in shapes.values())
    different = {name for name in plain if plain[name].shape != masked[name].shape}
    assert {name.split(".")[1] for name in different} == {"stem"}
    assert {(plain[name].shape[1], masked[name].shape[1]) for name in different} == {(2, 3)}


def test_a_pair_without_a_mask_is_taken_to_be_exposed_everywhere(study: Study) -> None:
    generator = build_generator(_sees_films(study)).eval()
    radiographs = torch.rand(1, 2, *study.geometry.detector_shape)
    with torch.inference_mode():
        plain = generator(radiographs)
        assert torch.equal(plain, generator(torch.cat([radiographs, torch.ones_like(radiographs)], dim=1)))
        assert not torch.equal(plain, generator(torch.cat([radiographs, torch.zeros_like(radiographs)], dim=1)))
