"""Whether a reply can be true: the one judgement that the gate, the coordinator and the report share."""

from common.plausibility.evaluation_sums import consistent, sums_fault
from common.plausibility.exclusion_codes import EXCLUSION_CODES
from common.plausibility.named_fault import Fault
from common.plausibility.reply_fault import fault_of

__all__ = ["EXCLUSION_CODES", "Fault", "consistent", "fault_of", "sums_fault"]
