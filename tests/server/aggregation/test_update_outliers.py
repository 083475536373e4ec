from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from server.aggregation import RoundStart, outliers_of
from server.aggregation.update_outliers import _direction_outliers, _norm_outliers
from tests.server.aggregation.replies import kept

SIZE = 2000


def _sent() -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(1))


def _honest(count: int, likeness: float, spread: float = 1.0) -> dict[str, Tensor]:
    """Updates with a common part; ``likeness`` is about their cosine, norms differ by up to ``spread``."""
    random = torch.Generator().manual_seed(2)
    common = torch.randn(SIZE, generator=random)
    return {
        f"site-{number}": 0.05
        * spread ** (number / max(count - 1, 1))
        * (likeness**0.5 * common + (1 - likeness) ** 0.5 * torch.randn(SIZE, generator=random))
        for number in range(count)
    }


def _flagged(updates: dict[str, Tensor], folder: Path) -> dict[str, str]:
    sent = _sent()
    replies = kept(folder, {site: sent + update for site, update in updates.items()})
    return {site: found.why for site, found in outliers_of(RoundStart({"generator": {"w": sent}}), replies).items()}


@pytest.mark.parametrize("count", [3, 4, 5, 8])
@pytest.mark.parametrize("likeness", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("spread", [1.0, 1.9])
def test_honest_updates_are_not_flagged(count: int, likeness: float, spread: float, tmp_path: Path) -> None:
    assert _flagged(_honest(count, likeness, spread), tmp_path) == {}


LIES = {
    "negated weights": (lambda sent, _update: -2 * sent, "more"),
    "five times the weights": (lambda sent, _update: 4 * sent, "more"),
    "all zero": (lambda sent, _update: -sent, "more"),
    "five times the update": (lambda _sent, update: 5 * update, "more"),
    "reversed": (lambda _sent, update: -update, "away"),
    "what was sent": (lambda _sent, update: 0 * update, "less"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("count", [3, 4, 7])
def test_a_lie_is_flagged_and_nobody_else(name: str, count: int, tmp_path: Path) -> None:
    updates = _honest(count, 0.5)
    lie, why = LIES[name]
    updates["site-1"] = lie(_sent(), updates["site-1"])
    found = _flagged(updates, tmp_path)
    assert list(found) == ["site-1"]
    assert why in found["site-1"]


def test_two_liars_of_five_who_agree_are_flagged(tmp_path: Path) -> None:
    updates = _honest(5, 0.5)
    updates["site-1"] = updates["site-3"] = -updates["site-0"]
    assert set(_flagged(updates, tmp_path)) == {"site-1", "site-3"}


def test_of_two_nobody_can_say(tmp_path: Path) -> None:
    updates = _honest(2, 0.5)
    updates["site-1"] = 50 * updates["site-1"]
    assert _flagged(updates, tmp_path) == {}


def test_a_network_that_moves_at_one_site_alone_is_flagged(tmp_path: Path) -> None:
    updates = dict.fromkeys(_honest(3, 0.5), torch.zeros(SIZE))
    assert _flagged(updates, tmp_path / "still") == {}
    updates["site-2"] = torch.ones(SIZE)
    assert list(_flagged(updates, tmp_path / "one")) == ["site-2"]


@given(st.lists(st.floats(0, 1e9), min_size=3, max_size=20), st.lists(st.floats(-1, 1), min_size=3, max_size=20))
def test_fewer_than_half_are_ever_flagged(norms: list[float], cosines: list[float]) -> None:
    assert 2 * len(_norm_outliers(torch.tensor(norms).double().numpy())) < len(norms)
    assert 2 * len(_direction_outliers(torch.tensor(cosines).double().numpy())) < len(cosines)
