"""The verdicts there are. What is said of each stands with the cohort, since words decide no case."""

from __future__ import annotations

from enum import StrEnum


class VerdictCode(StrEnum):
    """What quality control says of a series, in the order it judges. Values travel in ``CohortFlow``."""

    ACCEPTED = "accepted"
    UNREADABLE = "unreadable"
    ARCHIVE_IN_ARCHIVE = "archive_in_archive"
    NOT_CT = "not_ct"
    CONE_BEAM = "cone_beam"
    LOCALIZER_OR_DERIVED = "localizer_or_derived"
    NOT_HU = "not_hu"
    MIXED_PATIENTS = "mixed_patients"
    MULTI_FRAME = "multi_frame"
    CONTRAST_ENHANCED = "contrast_enhanced"
    NO_GEOMETRY = "no_geometry"
    NO_RESCALE = "no_rescale"
    TOO_LARGE = "too_large"
    COMPRESSION_UNSUPPORTED = "compression_unsupported"
    TOO_FEW_SLICES = "too_few_slices"
    MIXED_ORIENTATION = "mixed_orientation"
    MIXED_SIZE = "mixed_size"
    TILT_BEYOND_LIMITS = "tilt_beyond_limits"
    REPEATED_ACQUISITIONS = "repeated_acquisitions"
    DUPLICATE_SLICES = "duplicate_slices"
    DUPLICATE_NUMBERS = "duplicate_numbers"
    SLICE_GAPS = "slice_gaps"
    TOO_THICK = "too_thick"
    COVERAGE_TOO_SHORT = "coverage_too_short"
    INTERLEAVED_SCANS = "interleaved_scans"
    HU_IMPLAUSIBLE = "hu_implausible"
    NOT_A_HEAD = "not_a_head"
    FIELD_OF_VIEW_CUT = "field_of_view_cut"
    INCOMPLETE_HEAD = "incomplete_head"
    NOT_ALIGNED = "not_aligned"
    NOT_PROJECTED = "not_projected"
    DUPLICATE_OF_PATIENT = "duplicate_of_patient"
    DUPLICATE_CONTENT = "duplicate_content"
