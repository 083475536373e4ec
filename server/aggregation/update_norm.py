"""How far a site's weights may lie from what it was sent."""

from __future__ import annotations

import math
from collections.abc import Mapping

from common.errors import ExitCode, Refusal
from common.exchange import Weights


def check_update(trained: Mapping[str, Weights], broadcast: Mapping[str, Weights], limit: float) -> None:
    """Refuse weights that lie further from the broadcast than ``limit`` times the broadcast's norm.

    Raises:
        Refusal: ``EXCHANGE_INVALID``.
    """
    for network, weights in trained.items():
        start = broadcast[network]
        moved = math.sqrt(sum(float((weights[n].double() - start[n].double()).square().sum()) for n in start))
        size = math.sqrt(sum(float(t.double().square().sum()) for t in start.values()))
        if not moved <= limit * size:
            what = f"weights moved {moved / max(size, 1e-30):.3g} times their norm, limit {limit:g}"
            raise Refusal(
                ExitCode.EXCHANGE_INVALID, what, where=network, mend="look for a diverged training at the site"
            )
