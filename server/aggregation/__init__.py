"""What a round makes of the sites' weights: strategies, the replies they work on, and what they check."""

from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.outer_momentum import GENERATOR_VELOCITY, moved_on
from server.aggregation.update_norm import check_update

__all__ = [
    "GENERATOR_VELOCITY",
    "IncomingReplies",
    "check_update",
    "moved_on",
]
