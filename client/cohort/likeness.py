"""Whether two cases may show one head: skulls of one head are alike from scan to scan, those of two heads are not.

Seen on virtual heads and on deformed real ones, each scanned by two scanners: 0.98 and more for one head, 0.96 and less
for two, bone at 10 mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client.case import Case

MAY_BE_ONE_HEAD: Final = 0.97
ARE_TWO_HEADS: Final = 0.95
_CELL_MM: Final = 10.0
_BONE_HU: Final = (100.0, 1500.0)
# What lies below is often not scanned.
_LOWER_SHARE: Final = 1 / 3

Pattern = NDArray[np.float32]


def skull_pattern(case: Case, voxel_mm: float) -> Pattern:
    """Bone in cells of about 10 mm over the upper two thirds of a case, as a vector of mean 0 and length 1."""
    volume = case.volume_hu[round(len(case.volume_hu) * _LOWER_SHARE) :]
    cell = max(1, round(_CELL_MM / voxel_mm))
    z, y, x = (length // cell for length in volume.shape)
    kept = np.clip(volume[: z * cell, : y * cell, : x * cell].astype(np.float32), *_BONE_HU)
    pattern: Pattern = kept.reshape(z, cell, y, cell, x, cell).mean(axis=(1, 3, 5)).ravel()
    pattern -= pattern.mean()
    return pattern / max(float(np.linalg.norm(pattern)), 1e-6)


def are_two_heads(patterns: Sequence[Pattern]) -> bool:
    """Whether no two of several cases can show one head."""
    likeness = np.stack(patterns) @ np.stack(patterns).T
    return bool((likeness[np.triu_indices(len(patterns), 1)] < ARE_TWO_HEADS).all())


def may_be_one(patterns: Mapping[str, Pattern]) -> list[frozenset[str]]:
    """Names grouped so that cases that may show one head are together; those that are like no other are left out."""
    names = list(patterns)
    if len(names) < 2:
        return []
    stacked = np.stack([patterns[name] for name in names])
    group = np.arange(len(names))
    for index in range(len(names)):
        others = group[np.flatnonzero(stacked @ stacked[index] >= MAY_BE_ONE_HEAD)]
        group[np.isin(group, others)] = others.min()
    members = [frozenset(names[index] for index in np.flatnonzero(group == first)) for first in np.unique(group)]
    return [names for names in members if len(names) > 1]
