from __future__ import annotations

import pytest
from torch import Tensor

from benchmarks.quality import lesions
from benchmarks.quality.cohort import Fold
from benchmarks.quality.lesions import Shown, bleeds, smallest_seen, ventricles


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesions, "BLEED_RADII_MM", (6.0, 16.0))
    monkeypatch.setattr(lesions, "VENTRICLE_SIZES", (1.2, 1.5))


def shown(size: float, cnr: float, share: float = 1.0) -> Shown:
    return Shown(size, 30.0, 30.0 * share, cnr)


def test_seen_from_means_that_everything_larger_is_seen() -> None:
    assert smallest_seen([shown(4, 1), shown(6, 4), shown(8, 2), shown(10, 3), shown(12, 5)]) == 10
    assert smallest_seen([shown(4, 5), shown(6, 6)]) == 4
    assert smallest_seen([shown(4, 5), shown(6, 1)]) is None


def test_a_clear_signal_of_a_tenth_of_the_contrast_is_not_seen() -> None:
    assert not shown(10, 50, share=0.1).is_seen
    assert shown(10, 3, share=0.3).is_seen


def test_a_method_that_ignores_the_radiographs_shows_nothing(fold: Fold) -> None:
    def blind(integrals: Tensor) -> Tensor:
        return fold.heads.truths_hu[:1].expand(len(integrals), -1, -1, -1)

    found = bleeds(fold, blind)
    assert [one.size for one in found] == [6.0, 16.0]
    assert all(one.shown_hu == 0 and not one.is_seen for one in found)
    assert all(one.true_hu > 10 for one in found)


def test_a_method_that_knows_the_truth_shows_it_all(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    def exact(projector: object, fine_hu: Tensor, predict: object) -> Tensor:
        return lesions.on_training_grid(fine_hu).float().expand(lesions.NOISES, -1, -1, -1)

    monkeypatch.setattr(lesions, "_predictions", exact)
    found = bleeds(fold, lambda integrals: integrals)
    assert smallest_seen(found) == 6.0
    for one in (*found, *ventricles(fold, lambda integrals: integrals)):
        assert one.shown_hu == pytest.approx(one.true_hu, rel=0.02)
