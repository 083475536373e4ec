"""What is done with the cohort: local training, evaluation against baselines, synthesis, the site's own page."""

from client.learning.baselines import back_projection_hu, mean_volumes_hu
from client.learning.crew import Crew
from client.learning.evaluation import EvaluationResult, StudyEvaluation, evaluate
from client.learning.gallery import GalleryEntry, write_gallery
from client.learning.ranks import require_even_shares
from client.learning.robustness import RobustnessRow, robustness_table
from client.learning.summary import summarise
from client.learning.synthesis import SyntheticCt, synthesize, synthesize_with_sd
from client.learning.synthetic_ct import write_synthetic_ct
from client.learning.training import LocalTrainer, StepProgress, TrainOutcome

__all__ = [
    "Crew",
    "EvaluationResult",
    "GalleryEntry",
    "LocalTrainer",
    "RobustnessRow",
    "StepProgress",
    "StudyEvaluation",
    "SyntheticCt",
    "TrainOutcome",
    "back_projection_hu",
    "evaluate",
    "mean_volumes_hu",
    "require_even_shares",
    "robustness_table",
    "summarise",
    "synthesize",
    "synthesize_with_sd",
    "write_gallery",
    "write_synthetic_ct",
]
