"""What the benchmark asks of a projector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.projection.scene import Scene


class Peer(ABC):
    """A projector under test. Preparation that does not depend on the volume's values may be done ahead of timing.

    Attributes:
        name: as it stands in the tables, with its version.
    """

    name: str

    @abstractmethod
    def projection(self, scene: Scene) -> Callable[[], NDArray[np.float32]]:
        """Prepare; the call returned projects once: (2, rows, columns) line integrals, dimensionless.

        Images are hung as :mod:`common.geometry` says. Everything that a user pays for each new volume (conversion,
        upload to the library's own image type where it cannot be shared) belongs in the call.
        """


class DifferentiablePeer(Peer):
    """A peer with gradients with respect to the volume."""

    @abstractmethod
    def differentiable(self, scene: Scene, batch: int) -> Callable[[Tensor], Tensor]:
        """Prepare; the call returned maps (B, 1, z, y, x) attenuation to (B, 2, rows, columns), under autograd."""
