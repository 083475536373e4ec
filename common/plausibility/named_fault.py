"""What is wrong with a reply, in words that hold nothing of the reply but names of the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Fault:
    """The first thing in a reply that cannot be.

    Attributes:
        what: what is wrong.
        where: the field; of a name that no table holds it says only where such names stand.
    """

    what: str
    where: str
