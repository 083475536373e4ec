"""Local training: both players, widened samples, several devices, and what a site keeps between rounds."""

from client.learning.crew import Crew
from client.learning.local_training import LocalTrainer
from client.learning.players import Players
from client.learning.ranks import RankLost, Ranks, require_even_shares
from client.learning.samples import Batch, Samples
from client.learning.trainer import StepProgress, Trainer, TrainOutcome
from client.learning.widening import BRAIN_CENTRE_MM, Finding, FindingKind, Widener, soft_tissue, with_finding

__all__ = [
    "BRAIN_CENTRE_MM",
    "Batch",
    "Crew",
    "Finding",
    "FindingKind",
    "LocalTrainer",
    "Players",
    "RankLost",
    "Ranks",
    "Samples",
    "StepProgress",
    "TrainOutcome",
    "Trainer",
    "Widener",
    "require_even_shares",
    "soft_tissue",
    "with_finding",
]
