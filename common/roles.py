"""What a site does in a study."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a site does in a study: ``evaluate`` is held out and never trains."""

    TRAIN = "train"
    EVALUATE = "evaluate"
