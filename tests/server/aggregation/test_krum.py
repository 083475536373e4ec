from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch

from common.errors import ExitCode, Refusal
from server.aggregation import RoundStart
from server.aggregation.krum import Krum
from tests.server.aggregation.replies import kept


def _plain(values: dict[str, torch.Tensor], hostile: int) -> set[str]:
    """Krum as its paper writes it, pair by pair."""
    near = len(values) - hostile - 2
    scores = {}
    for site in values:
        others = [(values[site] - values[other]).double() for other in values if other != site]
        scores[site] = sum(sorted(float(apart.square().sum()) for apart in others)[:near])
    return set(sorted(scores, key=scores.__getitem__)[:near])


@pytest.mark.parametrize(("count", "hostile"), [(5, 1), (7, 2), (8, 1)])
def test_it_chooses_as_the_paper_does(count: int, hostile: int, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(count)
    values = {f"site-{number}": torch.randn(300, generator=random) for number in range(count)}
    start = RoundStart({"generator": {"w": torch.randn(300, generator=random)}})
    chosen = Krum(hostile, 10.0).chosen(start, kept(tmp_path, values))
    assert chosen == _plain(values, hostile)


@pytest.mark.parametrize("liars", list(combinations("abcdefg", 2)), ids="".join)
def test_liars_who_agree_are_not_among_the_chosen(liars: tuple[str, str], tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(3)
    honest = {site: 1 + 0.1 * torch.randn(200, generator=random) for site in "abcdefg"}
    values = honest | {site: -5 * torch.ones(200) for site in liars}
    start = RoundStart({"generator": {"w": torch.zeros(200)}})
    assert not Krum(2, 10.0).chosen(start, kept(tmp_path, values)) & set(liars)


def test_too_few_replies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        Krum(1, 10.0).chosen(
            RoundStart({"generator": {"w": torch.zeros(2)}}), kept(tmp_path, dict.fromkeys("abcd", torch.ones(2)))
        )
    assert caught.value.code is ExitCode.TOO_FEW_SITES
