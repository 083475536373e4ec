"""What the hospital has: from a folder of DICOM to a trustworthy cohort of cases."""

from client.archive.building import CohortProgress
from client.archive.case import Case, CaseFacts
from client.archive.cohort import CaseFile, Cohort, Findings, build_cohort, examine
from client.archive.head_source import find_head
from client.archive.provenance import Provenance, Step
from client.archive.radiographs import add_noise, radiograph_pair
from client.archive.scanner import STYLES, ScannerStyle
from client.archive.verdict_codes import MENDS, REASONS, SeriesVerdict, VerdictCode
from client.archive.virtual_hospital import VirtualArchive, write_virtual_archive

__all__ = [
    "MENDS",
    "REASONS",
    "STYLES",
    "Case",
    "CaseFacts",
    "CaseFile",
    "Cohort",
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
    "examine",
    "find_head",
    "radiograph_pair",
    "write_virtual_archive",
]
