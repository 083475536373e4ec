"""What the hospital has: from a folder of DICOM to a trustworthy cohort of cases."""

from client.archive.building import CohortProgress
from client.archive.case import Case, CaseFacts
from client.archive.cohort import SECRET_NAME, CaseFile, Cohort, Findings, build_cohort, examine
from client.archive.counts import CohortCounts, cohort_counts, kvp_band, spacing_band
from client.archive.head_source import find_head
from client.archive.provenance import Provenance, Step
from client.archive.pseudonym import site_pseudonyms
from client.archive.radiographs import add_noise, radiograph_pair
from client.archive.scanner import STYLES, ScannerStyle
from client.archive.verdict_codes import MENDS, REASONS, SeriesVerdict, VerdictCode
from client.archive.virtual_hospital import VirtualArchive, write_virtual_archive
from client.archive.whereabouts import whereabouts

__all__ = [
    "MENDS",
    "REASONS",
    "SECRET_NAME",
    "STYLES",
    "Case",
    "CaseFacts",
    "CaseFile",
    "Cohort",
    "CohortCounts",
    "CohortProgress",
    "Findings",
    "Provenance",
    "ScannerStyle",
    "SeriesVerdict",
    "Step",
    "VerdictCode",
    "VirtualArchive",
    "add_noise",
    "build_cohort",
    "cohort_counts",
    "examine",
    "find_head",
    "kvp_band",
    "radiograph_pair",
    "site_pseudonyms",
    "spacing_band",
    "whereabouts",
    "write_virtual_archive",
]
