"""What a round makes of the sites' weights: strategies, and the replies that they work on."""

from common.study import Federation
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.outer_momentum import OuterMomentum
from server.aggregation.strategy import Aggregate, NetworkWeights, RoundStart, Strategy
from server.aggregation.weighted_mean import WeightedMean

__all__ = ["Aggregate", "IncomingReplies", "NetworkWeights", "RoundStart", "Strategy", "strategy_of"]


def strategy_of(federation: Federation) -> Strategy:
    """The strategy that a study's federation asks for."""
    mean = WeightedMean(federation.weighting, federation.max_update_norm)
    return OuterMomentum(mean, federation.outer_momentum) if federation.outer_momentum > 0 else mean
