"""What the hospital has: from a folder of DICOM to a trustworthy cohort of cases."""

from client.archive.case import Case, CaseFacts
from client.archive.cohort import CaseFile, Cohort, CohortProgress, build_cohort
from client.archive.radiographs import add_noise, radiograph_pair
from client.archive.verdicts import REASONS, SeriesVerdict, VerdictCode

__all__ = [
    "REASONS",
    "Case",
    "CaseFacts",
    "CaseFile",
    "Cohort",
    "CohortProgress",
    "SeriesVerdict",
    "VerdictCode",
    "add_noise",
    "build_cohort",
    "radiograph_pair",
]
