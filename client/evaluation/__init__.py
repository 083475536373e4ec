"""Generator and baselines against the truth, as sums over cases, and the site's own page of slices."""

from client.evaluation.baselines import mean_volumes_hu, with_soft_tissue
from client.evaluation.gallery import GalleryEntry, write_gallery
from client.evaluation.metric_sums import summarise
from client.evaluation.study_evaluation import StudyEvaluation, evaluate

__all__ = [
    "GalleryEntry",
    "StudyEvaluation",
    "evaluate",
    "mean_volumes_hu",
    "summarise",
    "with_soft_tissue",
    "write_gallery",
]
