"""The projector's tiles, made so large that a card is asked for little."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from common.projection import swept_beam


@contextlib.contextmanager
def whole_tiles() -> Iterator[None]:
    """Projectors that are made inside multiply whole views: fewer and larger products, more of them with zeros."""
    large = 1 << 30
    with mock.patch.multiple(swept_beam, COLUMN_TILE_RAYS=large, ROW_TILE_RAYS=large):
        yield
