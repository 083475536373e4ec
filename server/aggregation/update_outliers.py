"""Updates that lie apart from the others of their round, by median and median absolute deviation.

Medians cannot be moved by a minority (Rousseeuw and Croux, JASA 1993): fewer than half of the sites are ever flagged.
Of two replies nobody can say which one lies apart, so a round is judged from three on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor

from server.aggregation.agreement import agreement_of
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.strategy import RoundStart

FEWEST_REPLIES = 3
DEVIATIONS = 3.5
"""Beyond so many a value is an outlier (Iglewicz and Hoaglin, 1993)."""
_TO_SD = 1.4826
# Honest norms differ by cohorts and chance: up to a factor of two is no outlier, however alike the others are.
_LEAST_LOG_SPREAD = math.log(2) / DEVIATIONS
_LEAST_COSINE_SPREAD = 0.02
_STILL = 1e-9

_Row = np.ndarray[tuple[int], np.dtype[np.float64]]


@final
@dataclass(frozen=True)
class Outlier:
    """One update that lies apart.

    Attributes:
        why: in words, without numbers, so that rounds can be told together.
        values: ``NETWORK.norm``, relative to the median norm, and ``NETWORK.cosine`` with what most others say.
    """

    why: str
    values: dict[str, float]


def outliers_of(start: RoundStart, replies: IncomingReplies) -> dict[str, Outlier]:
    """The outliers of a round by site; none below three replies.

    A norm is judged by its logarithm, a direction by its cosine with what most others say, which must be below 0 too:
    honest sites whose patients differ go different ways, but not away from each other.
    """
    agreement = agreement_of(start, replies)
    if len(agreement.sites) < FEWEST_REPLIES:
        return {}
    whys: dict[str, list[str]] = {site: [] for site in agreement.sites}
    values: dict[str, dict[str, float]] = {site: {} for site in agreement.sites}
    for network, products in agreement.products.items():
        norms, cosines = _norms(products), _consensus_cosines(products)
        for at, site in enumerate(agreement.sites):
            values[site] |= {f"{network}.norm": float(norms[at]), f"{network}.cosine": float(cosines[at])}
        for at, why in (*_norm_outliers(norms).items(), *_direction_outliers(cosines).items()):
            whys[agreement.sites[at]].append(f"{network} {why}")
    return {site: Outlier("; ".join(why), values[site]) for site, why in whys.items() if why}


def _norms(products: Tensor) -> _Row:
    """Norms relative to their median; where that is 0, a norm that is not counts as a thousand million times it."""
    norms = np.sqrt(products.diagonal().numpy())
    median = float(np.median(norms))
    if median > 0:
        return np.asarray(norms / median)
    return np.where(norms > 0, 1 / _STILL, 1.0)


def _norm_outliers(norms: _Row) -> dict[int, str]:
    logs = np.log(np.clip(norms, _STILL, 1 / _STILL))
    away = logs - np.median(logs)
    limit = DEVIATIONS * max(_TO_SD * float(np.median(np.abs(away))), _LEAST_LOG_SPREAD)
    words = {True: "moved far more than the others'", False: "moved far less than the others'"}
    return {at: words[bool(value > 0)] for at, value in enumerate(away) if abs(value) > limit}


def _consensus_cosines(products: Tensor) -> _Row:
    """Of each update, its cosine with the sum of what most of the others say; 0 for one that did not move.

    The leading eigenvector of the cosines parts the sites into two sides that point away from each other; the larger
    side is the consensus. Each update counts with length 1, so that nobody outshouts it.
    """
    gram = products.numpy()
    norms = np.sqrt(np.diagonal(gram))
    moving = np.flatnonzero(norms > 0)
    found = np.zeros(len(norms))
    if len(moving) < 2:
        return found
    cosines = gram[np.ix_(moving, moving)] / np.outer(norms[moving], norms[moving])
    leading = np.linalg.eigh(cosines)[1][:, -1]
    side = np.sign(np.sum(np.sign(leading)) or np.sum(leading)) * leading >= 0
    for at, site in enumerate(moving):
        others = side & (np.arange(len(moving)) != at)
        length = float(np.sqrt(max(cosines[np.ix_(others, others)].sum(), 0.0)))
        found[site] = cosines[at, others].sum() / length if length > 0 else 0.0
    return found


def _direction_outliers(cosines: _Row) -> dict[int, str]:
    below = np.median(cosines) - cosines
    limit = DEVIATIONS * max(_TO_SD * float(np.median(np.abs(below))), _LEAST_COSINE_SPREAD)
    return {at: "points away from the others'" for at, value in enumerate(below) if value > limit and cosines[at] < 0}
