"""What a round makes of the sites' weights: strategies, and the replies that they work on."""

from common.study import Federation
from server.aggregation.coordinate_wise import CoordinateMedian, TrimmedMean
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.krum import Krum
from server.aggregation.outer_momentum import OuterMomentum
from server.aggregation.strategy import Aggregate, NetworkWeights, RoundStart, Strategy
from server.aggregation.update_outliers import Outlier, outliers_of
from server.aggregation.weighted_mean import WeightedMean

__all__ = [
    "Aggregate",
    "IncomingReplies",
    "NetworkWeights",
    "Outlier",
    "RoundStart",
    "Strategy",
    "outliers_of",
    "strategy_of",
]


def strategy_of(federation: Federation) -> Strategy:
    """The strategy that a study's federation asks for."""
    one = _model_of(federation)
    return OuterMomentum(one, federation.outer_momentum) if federation.outer_momentum > 0 else one


def _model_of(federation: Federation) -> Strategy:
    norm, hostile = federation.max_update_norm, federation.hostile_sites
    if federation.strategy == "trimmed_mean":
        return TrimmedMean(norm, hostile)
    if federation.strategy == "median":
        return CoordinateMedian(norm)
    if federation.strategy == "krum":
        return Krum(hostile, norm)
    return WeightedMean(federation.weighting, norm, federation.maximum_share)
