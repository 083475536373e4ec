from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.quality import lesions
from benchmarks.quality.cohort import Fold
from benchmarks.quality.lesions import Shown, shown_by, smallest_seen, with_bleeds, with_shifts, with_ventricles


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesions, "BLEED_RADII_MM", (6.0, 16.0))
    monkeypatch.setattr(lesions, "VENTRICLE_SIZES", (1.2, 1.5))
    monkeypatch.setattr(lesions, "SHIFTS_MM", (5.0, 15.0))


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

    found = shown_by(fold, blind, with_bleeds(fold.heads.fine_hu.float()))
    assert [one.size for one in found] == [6.0, 16.0]
    assert all(one.shown_hu == 0 and not one.is_seen for one in found)
    assert all(one.true_hu > 10 for one in found)


def test_a_method_that_knows_the_truth_shows_it_all(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    def exact(projector: object, fine_hu: Tensor, predict: object) -> Tensor:
        return lesions.on_training_grid(fine_hu).float().expand(lesions.NOISES, -1, -1, -1)

    monkeypatch.setattr(lesions, "_predictions", exact)
    head_hu = fold.heads.fine_hu.float()
    found = shown_by(fold, lambda integrals: integrals, with_bleeds(head_hu))
    assert smallest_seen(found) == 6.0
    others = [shown_by(fold, lambda integrals: integrals, make(head_hu)) for make in (with_ventricles, with_shifts)]
    for one in (*found, *others[0], *others[1]):
        assert one.shown_hu == pytest.approx(one.true_hu, rel=0.02)


def test_a_shifted_midline_moves_to_the_left_and_the_skull_stays(fold: Fold) -> None:
    head_hu = fold.heads.fine_hu.float()
    (_, moved) = with_shifts(head_hu)[-1]
    middle = head_hu.shape[0] // 2 + 15
    ramp = torch.arange(head_hu.shape[2]).float().expand(head_hu.shape)
    (_, ramp_moved) = with_shifts(ramp)[-1]
    at = (middle, head_hu.shape[1] // 2 + 3, head_hu.shape[2] // 2)
    # What was to the right stands here now: towards the left, x grows.
    assert float(ramp[at] - ramp_moved[at]) * 1.8 == pytest.approx(15.0, abs=0.5)
    bone = head_hu > 600
    assert float((moved - head_hu).abs()[bone].mean()) < 0.05 * float(head_hu[bone].mean())
