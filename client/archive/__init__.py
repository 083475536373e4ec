"""What the hospital has: DICOM series found in a folder tree, remembered in an index, and judged by their headers."""

from client.archive.discovery import discover
from client.archive.eligibility import COPIES, judge_headers, judge_series
from client.archive.grouping import Series
from client.archive.pseudonym import PSEUDONYM_CHARACTERS, SECRET_BYTES, Pseudonyms, site_pseudonyms
from client.archive.slice_header import SliceHeader
from client.archive.slice_plan import MAXIMUM_TILT_DEG, MINIMUM_SLICES, Plan
from client.archive.verdict_codes import VerdictCode

__all__ = [
    "COPIES",
    "MAXIMUM_TILT_DEG",
    "MINIMUM_SLICES",
    "PSEUDONYM_CHARACTERS",
    "SECRET_BYTES",
    "Plan",
    "Pseudonyms",
    "Series",
    "SliceHeader",
    "VerdictCode",
    "discover",
    "judge_headers",
    "judge_series",
    "site_pseudonyms",
]
