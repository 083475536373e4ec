"""What the hospital has: DICOM series found in a folder tree, remembered in an index, and judged by their headers."""

from client.archive.discovery import Series, discover
from client.archive.eligibility import judge_headers
from client.archive.pseudonym import PSEUDONYM_CHARACTERS, SECRET_BYTES, Pseudonyms, site_pseudonyms
from client.archive.slice_header import SliceHeader
from client.archive.slice_plan import MAXIMUM_TILT_DEG, MINIMUM_SLICES, Plan
from client.archive.verdict_codes import VerdictCode

__all__ = [
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
    "site_pseudonyms",
]
