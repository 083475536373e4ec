from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.quality.cohort import Fold
from benchmarks.quality.lesions import BLEED_RADII_MM, Shown, bleeds, smallest_seen, ventricles


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
        return fold.truths_hu[:1].expand(len(integrals), -1, -1, -1)

    found = bleeds(fold, blind)
    assert [one.size for one in found] == list(BLEED_RADII_MM)
    assert all(one.shown_hu == 0 and not one.is_seen for one in found)
    assert all(one.true_hu > 10 for one in found)


def test_a_method_that_knows_the_truth_shows_it_all(fold: Fold) -> None:
    from benchmarks.quality import lesions

    seen: list[Tensor] = []

    def spy(projector: object, fine_hu: Tensor, predict: object) -> Tensor:
        seen.append(fine_hu)
        return lesions.on_training_grid(fine_hu).float().expand(lesions.NOISES, -1, -1, -1)

    original = lesions._predictions
    lesions._predictions = spy  # type: ignore[assignment]
    try:
        found = bleeds(fold, lambda integrals: integrals)
        wider = ventricles(fold, lambda integrals: integrals)
    finally:
        lesions._predictions = original
    assert smallest_seen(found) == BLEED_RADII_MM[0]
    for one in (*found, *wider):
        assert torch.isclose(torch.tensor(one.shown_hu), torch.tensor(one.true_hu), rtol=0.02)
    assert len(seen) == len(found) + len(wider) + 2
