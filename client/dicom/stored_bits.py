"""What the words of pixel data mean where they have bits beyond those that are stored: only for the limited process.

PS3.5 8.1.1 gives such bits no meaning; older writers kept overlays in them. But some state fewer bits than they use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[Any]


def stored_bits_of(words: Words, bits_stored: int) -> Words:
    """The values of the words' stored bits, but for words that are evidently meant whole.

    Whole is the word that all four corners hold, which is padding; and of a writer that extends the sign of its values,
    every word, if none has upper bits that are no sign.

    Args:
        words: (row, column) integers.
        bits_stored: as the header states.
    """
    unused = 8 * words.dtype.itemsize - bits_stored
    if unused <= 0:
        return words
    values: Words = np.right_shift(np.left_shift(words, unused), unused)
    beyond = values != words
    if not beyond.any():
        return values
    padding, padded = words[0, 0], words == words[0, 0]
    upper = np.right_shift(words, bits_stored)
    counted = ~padded if beyond[0, 0] and upper[0, 0] != 0 else np.ones_like(padded)
    # Negative values that have their sign in the upper bits too, and those that may have it in the stored ones alone.
    extended, plain = (words < 0) & ~beyond & counted, (upper == 0) & beyond & counted
    signs = words.dtype.kind == "i" and int(np.count_nonzero(extended)) > int(np.count_nonzero(plain))
    cornered = bool(beyond[0, 0]) and bool(padded[[0, 0, -1, -1], [0, -1, 0, -1]].all())
    if cornered and (signs or upper[0, 0] != 0):
        values[padded] = padding
        beyond &= ~padded
    if signs and bool(((upper == 0) | (upper == -1))[beyond].all()):
        return words
    return values
