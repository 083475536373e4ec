"""Fixed lists of words: what a header says is held against them, and nothing of it is kept."""

from __future__ import annotations


def word_list(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())
