from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch

from client.archive import Case
from client.learning.samples import Samples
from common.objective import to_window
from common.study import Study

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
