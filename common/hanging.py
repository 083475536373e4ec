"""How slices of a volume are hung on a page, by radiological convention.

Volumes are (z, y, x) with indices growing towards superior, posterior and left. Axial slices are seen from below, with
the patient's right at the image's left and anterior up; coronal with right at left and superior up; sagittal with
anterior at left and superior up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

Slice = npt.NDArray[Any]


@final
@dataclass(frozen=True)
class Edges:
    """Letters of the patient directions at the four edges of an image."""

    left: str
    right: str
    top: str
    bottom: str


PLANES: Final = (
    ("axial", 0, Edges("R", "L", "A", "P")),
    ("coronal", 1, Edges("R", "L", "S", "I")),
    ("sagittal", 2, Edges("A", "P", "S", "I")),
)
"""Name, axis of a (z, y, x) volume, letters."""

RADIOGRAPHS: Final = (("frontal", Edges("R", "L", "S", "I")), ("lateral", Edges("A", "P", "S", "I")))
"""Name and letters of the radiograph pair."""


def hung(volume: Slice, axis: int, index: int) -> Slice:
    """One slice of a (z, y, x) volume as radiologists hang it: rows and columns of the image.

    Args:
        volume: (z, y, x), indices growing towards superior, posterior and left.
        axis: 0 axial, 1 coronal, 2 sagittal.
        index: position along the axis.
    """
    cut: Slice = np.take(volume, index, axis=axis)
    # Coronal and sagittal rows run along z, which grows upwards in the patient and downwards in an image.
    return cut if axis == 0 else cut[::-1]
