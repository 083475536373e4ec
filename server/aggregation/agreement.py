"""How the updates of a round lie to each other: all their scalar products, in one pass over the replies on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from common.exchange import joined
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.strategy import RoundStart


@final
@dataclass(frozen=True)
class Agreement:
    """Scalar products of the sites' updates.

    Attributes:
        sites: their names, sorted.
        products: (sites, sites), float64, by network; the diagonal holds the squared norms.
    """

    sites: tuple[str, ...]
    products: dict[str, Tensor]

    def squared_distances(self) -> Tensor:
        """(sites, sites): squared distances of the sites' weights, all networks together."""
        whole = torch.stack(list(self.products.values())).sum(dim=0)
        norms = whole.diagonal()
        return (norms[:, None] + norms[None, :] - 2 * whole).clamp(min=0)


def agreement_of(start: RoundStart, replies: IncomingReplies) -> Agreement:
    """The products of every pair of updates, an update being what a site sent less what it was sent.

    Memory: one piece of all replies, as :class:`server.aggregation.coordinate_wise.CoordinateWise` takes it.
    """
    sites = tuple(replies.replies())
    sent = joined(start.sent)
    products = {network: torch.zeros(len(sites), len(sites), dtype=torch.float64) for network in start.sent}
    for piece in replies.pieces():
        update = piece.values - sent[piece.name].reshape(-1)[piece.place].double()
        products[piece.name.split("/", 1)[0]] += update @ update.t()
    return Agreement(sites, products)
