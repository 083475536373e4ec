"""The cohort: an archive's usable cases, built once, kept, split, counted, and said of each series why or why not."""

from client.cohort.building import CohortProgress
from client.cohort.counts import CohortCounts, cohort_counts, kvp_band, spacing_band
from client.cohort.examination import SECRET_NAME, CaseFile, Cohort, Findings, build_cohort, examine
from client.cohort.figures import LIKENESS, Figure, Measured
from client.cohort.film_building import FilmCounts
from client.cohort.narrow import NARROW_SHARE, FigureTable, Pass, figure_table
from client.cohort.verdict_wording import MENDS, REASONS, SET_ASIDE, SeriesVerdict
from client.cohort.whereabouts import whereabouts

__all__ = [
    "LIKENESS",
    "MENDS",
    "NARROW_SHARE",
    "REASONS",
    "SECRET_NAME",
    "SET_ASIDE",
    "CaseFile",
    "Cohort",
    "CohortCounts",
    "CohortProgress",
    "Figure",
    "FigureTable",
    "FilmCounts",
    "Findings",
    "Measured",
    "Pass",
    "SeriesVerdict",
    "build_cohort",
    "cohort_counts",
    "examine",
    "figure_table",
    "kvp_band",
    "spacing_band",
    "whereabouts",
]
