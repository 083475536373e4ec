"""Local training: both players, widened samples, several devices, and what a site keeps between rounds."""

from client.learning.crew import Crew
from client.learning.local_training import LocalTrainer
from client.learning.ranks import require_even_shares
from client.learning.trainer import StepProgress, Trainer, TrainOutcome
from client.learning.widening import Finding, FindingKind, Widener, soft_tissue, with_finding

__all__ = [
    "Crew",
    "Finding",
    "FindingKind",
    "LocalTrainer",
    "StepProgress",
    "TrainOutcome",
    "Trainer",
    "Widener",
    "require_even_shares",
    "soft_tissue",
    "with_finding",
]
