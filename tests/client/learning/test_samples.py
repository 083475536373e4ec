from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from client.case import Case
from client.learning import LocalTrainer
from client.learning.samples import Samples
from common.attenuation import hu_to_mu
from common.exchange import weights_of
from common.networks import build_generator
from common.objective import from_window, to_window
from common.projection import Projector
from common.study import Study, Widening

Tiny = Callable[..., Study]
MakeCases = Callable[..., list[Case]]


def targets(study: Study, cases: list[Case], number: int, count: int) -> torch.Tensor:
    return torch.cat([batch.target for batch in islice(Samples(study, cases, number), count)])


def test_a_repeated_round_sees_the_same_cases_and_noise(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    cases = make_cases(study, 4)
    first, second = (list(islice(Samples(study, cases, 3), 4)) for _ in range(2))
    assert all(torch.equal(a.target, b.target) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a.integrals, b.integrals) for a, b in zip(first, second, strict=True))


def test_rounds_sites_and_seeds_differ(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    here, there = make_cases(study, 4, "a"), make_cases(study, 4, "b")
    runs = [
        next(iter(Samples(s, cases, number))).integrals
        for s, cases, number in ((study, here, 1), (study, here, 2), (study, there, 1), (tiny(seed=9), here, 1))
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(runs) for b in runs[:i])


def test_every_case_comes_once_before_any_comes_again(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(batch_size=2)
    cases = make_cases(study, 6)
    seen = targets(study, cases, 1, 3)
    for case in cases:
        own = to_window(torch.from_numpy(case.volume_hu), study.window)
        assert sum(torch.equal(own, target[0]) for target in seen) == 1


def test_a_site_with_fewer_cases_than_the_batch_still_fills_it(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(batch_size=5)
    assert targets(study, make_cases(study, 2), 1, 1).shape == (5, 1, 16, 16, 16)


def test_noise_is_fresh_in_every_sample_and_small(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(batch_size=1)
    case = make_cases(study, 1)
    first, second = (batch.integrals for batch in islice(Samples(study, case, 1), 2))
    clean = torch.from_numpy(case[0].integrals)
    assert not torch.equal(first, second)
    assert 0 < float((first - clean).abs().mean()) < 0.02


ANATOMY = {
    "flip": 0.5,
    "displacement_mm": 3.0,
    "scale": 0.07,
    "rotation_deg": 4.0,
    "shift_mm": 4.0,
    "skull_mm": 1.0,
    "bone": 0.15,
    "brain_hu": 2.0,
    "lesions": 0.5,
    "noise_hu": 3.0,
}
POSES = {"pose_deg": 2.0, "pose_mm": 4.0, "distance_mm": 10.0}


def widened(study: Study, **strengths: float) -> Study:
    return study.model_copy(update={"widening": Widening(**strengths)})


def test_without_widening_a_sample_is_the_case_as_it_is(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(batch_size=1, photons=0.0)
    (case,) = make_cases(study, 1)
    batch = next(iter(Samples(study, [case], 1)))
    assert torch.equal(batch.target[0, 0], to_window(torch.from_numpy(case.volume_hu), study.window))
    assert torch.equal(batch.integrals[0], torch.from_numpy(case.integrals))


def test_every_widened_sample_is_a_new_head_and_a_repeated_round_the_same_heads(
    tiny: Tiny, make_cases: MakeCases
) -> None:
    study = widened(tiny(), **ANATOMY, **POSES)
    cases = make_cases(study, 2)
    first, second = (list(islice(Samples(study, cases, 3), 3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.target, b.target)
        assert torch.equal(a.integrals, b.integrals)
    heads = torch.cat([batch.target for batch in first])
    assert all(not torch.equal(a, b) for i, a in enumerate(heads) for b in heads[:i])


def test_radiographs_are_projected_from_the_widened_head(tiny: Tiny, make_cases: MakeCases) -> None:
    study = widened(tiny(photons=0.0), **ANATOMY)
    batch = next(iter(Samples(study, make_cases(study, 2), 1)))
    mu_per_mm = hu_to_mu(from_window(batch.target, study.window), study.radiograph.water_mu_per_mm)
    assert torch.allclose(Projector(study.grid, study.geometry)(mu_per_mm), batch.integrals, atol=2e-3)


def test_poses_change_the_radiographs_and_the_target_stays(tiny: Tiny, make_cases: MakeCases) -> None:
    plain = tiny(photons=0.0)
    cases = make_cases(plain, 2)
    still, posed = (
        next(iter(Samples(study, cases, 1))) for study in (widened(plain, bone=0.1), widened(plain, bone=0.1, **POSES))
    )
    assert torch.equal(still.target, posed.target)
    assert float((still.integrals - posed.integrals).abs().mean()) > 0.01


def test_radiographs_see_what_the_window_clips(tiny: Tiny, make_cases: MakeCases) -> None:
    study = widened(tiny(photons=0.0), pose_mm=1e-6)
    (case,) = make_cases(study, 1)
    metal = case.volume_hu.copy()
    metal[8, 8, 8] = 3000
    pairs = [next(iter(Samples(study, [replace(case, volume_hu=hu)], 1))) for hu in (case.volume_hu, metal)]
    assert float((pairs[1].integrals - pairs[0].integrals).max()) > 0.2
    assert float(pairs[1].target.max()) == 1


def test_training_on_widened_cases_repeats_bit_for_bit(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = widened(tiny(), **ANATOMY, **POSES)
    cases, weights = make_cases(study, 2), weights_of(build_generator(study))
    outcomes = [
        LocalTrainer(study, cases, tmp_path / name, torch.device("cpu")).train_round(1, weights, None)
        for name in ("a", "b")
    ]
    assert all(torch.equal(outcomes[0].generator[name], outcomes[1].generator[name]) for name in weights)
    assert outcomes[0].skipped_steps == 0


def _with_films(study: Study, share: float) -> Study:
    return Study.model_validate(study.model_dump() | {"film": {"share": share, "pose_deg": 3.0}})


def test_a_share_of_the_samples_are_films_with_their_mask(tiny: Tiny, make_cases: MakeCases) -> None:
    plain = tiny(batch_size=2)
    cases = make_cases(plain, 4)
    assert next(iter(Samples(plain, cases, 1))).exposed is None
    masks = {share: [] for share in (0.5, 1.0)}
    for share, seen in masks.items():
        study = _with_films(plain, share)
        for batch in islice(Samples(study, cases, 1), 8):
            assert batch.exposed is not None
            assert batch.exposed.shape == batch.integrals.shape
            assert bool(torch.isfinite(batch.integrals).all())
            seen.extend(bool((mask == 1).all()) for mask in batch.exposed)
    assert not any(masks[1.0])
    assert 2 <= sum(masks[0.5]) <= 14


def test_a_film_that_is_seen_again_is_the_same(tiny: Tiny, make_cases: MakeCases) -> None:
    study = _with_films(tiny(), 1.0)
    cases = make_cases(study, 2)
    one, other = (next(iter(Samples(study, cases, 1))) for _ in range(2))
    assert torch.equal(one.integrals, other.integrals)
    assert not torch.equal(one.integrals, next(iter(Samples(study, cases, 2))).integrals)


def test_a_round_on_films_moves_the_network(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = _with_films(tiny(), 0.5)
    outcome = LocalTrainer(study, make_cases(study, 2), tmp_path, torch.device("cpu")).train_round(
        1, weights_of(build_generator(study)), None
    )
    assert outcome.skipped_steps == 0
    assert outcome.losses.reprojection > 0
