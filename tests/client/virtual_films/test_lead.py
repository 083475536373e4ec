from __future__ import annotations

from client.virtual_films.lead import letter_mask


def test_letters_are_as_high_as_asked_and_told_apart() -> None:
    left, right = (letter_mask(letter, 20) for letter in "LR")
    assert left.shape[0] == right.shape[0] == 20
    assert left[:, 0].mean() > 0.9
    assert left[-1].mean() > 0.9
    assert not left[:10, left.shape[1] // 2 :].any()
    assert right[:10, right.shape[1] // 2 :].any()
