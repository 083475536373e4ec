"""The frames of encapsulated pixel data, where each may lie in several fragments and no table says where they begin.

Only for the limited process, like all that reads pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# PS3.5 A.4: the coded streams of JPEG, JPEG-LS and JPEG 2000 end with this marker, which no data inside them can
# spell, since a byte of ones is followed by one below it; at most padding to an even length comes after it.
_END_OF_STREAM: Final = b"\xff\xd9"


def joined_fragments(fragments: Iterable[bytes], frames: int) -> tuple[bytes, ...]:
    """Coded frames from fragments, told apart by the marker that ends a stream, wherever fragments were parted.

    Raises:
        ValueError: if the fragments do not hold that many whole streams.
    """
    found: list[bytes] = []
    open_parts: list[bytes] = []
    for fragment in fragments:
        open_parts.append(fragment)
        # The marker itself may lie half in the fragment before.
        if b"".join(open_parts[-2:]).rstrip(b"\0").endswith(_END_OF_STREAM):
            found.append(b"".join(open_parts))
            open_parts.clear()
    if open_parts or len(found) != frames:
        raise ValueError("frames")
    return tuple(found)
