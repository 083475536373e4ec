"""What is stated of a view and of how a film hangs is given up only for an image that is certain to show otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client.header import film_header
from client.radiographs import FilmRefused, FilmVerdict
from client.radiographs.film_view import shown_turn, shown_view
from client.radiographs.head_likeness import Likeness
from tests.client.radiographs.films import lateral


def likeness(score: float, *, is_lateral: bool = False, turns: int = 0) -> Likeness:
    return Likeness(is_lateral, turns, False, score, 1.0, 0.0, 0.0)


def both(frontal: float, lateral: float) -> list[Likeness]:
    found = [likeness(frontal), likeness(lateral, is_lateral=True)]
    return sorted(found, key=lambda one: -one.score)


def test_a_stated_view_holds_against_one_that_is_hardly_more_alike() -> None:
    assert shown_view(False, both(0.75, 0.76)) == (False, ())
    assert shown_view(True, both(0.76, 0.75)) == (True, ())
    with pytest.raises(FilmRefused) as refused:
        shown_view(False, both(0.75, 0.80))
    assert refused.value.verdict is FilmVerdict.VIEW_CONTRADICTS


def test_a_view_that_nobody_states_has_to_be_certain() -> None:
    assert shown_view(None, both(0.80, 0.75)) == (False, ("view_by_content",))
    with pytest.raises(FilmRefused) as refused:
        shown_view(None, both(0.76, 0.75))
    assert refused.value.verdict is FilmVerdict.ORIENTATION_UNKNOWN


def test_a_partial_head_is_still_a_head_and_a_hand_is_none() -> None:
    assert shown_view(True, both(0.60, 0.68)) == (True, ())
    with pytest.raises(FilmRefused) as refused:
        shown_view(True, both(0.41, 0.42))
    assert refused.value.verdict is FilmVerdict.NOT_A_HEAD


def test_a_stated_turn_holds_against_one_that_is_a_little_more_alike() -> None:
    header = film_header(lateral().dataset())
    assert header is not None
    upright, turned = likeness(0.70, is_lateral=True), likeness(0.76, is_lateral=True, turns=1)
    shown, mirrored, notes = shown_turn(header, [turned, upright])
    assert (shown.quarter_turns, mirrored, notes) == (0, False, ())
    shown, _, notes = shown_turn(header, [replace(turned, score=0.80), upright])
    assert (shown.quarter_turns, notes) == (1, ("orientation_by_content", "turned"))
