"""The words by which a registration may count excluded series: the codes of verdicts, and nothing a site makes up."""

from __future__ import annotations

EXCLUSION_CODES = frozenset(
    {
        "unreadable",
        "archive_in_archive",
        "not_ct",
        "cone_beam",
        "localizer_or_derived",
        "not_hu",
        "mixed_patients",
        "multi_frame",
        "contrast_enhanced",
        "no_geometry",
        "no_rescale",
        "too_large",
        "compression_unsupported",
        "too_few_slices",
        "mixed_orientation",
        "mixed_size",
        "tilt_beyond_limits",
        "repeated_acquisitions",
        "duplicate_slices",
        "duplicate_numbers",
        "slice_gaps",
        "too_thick",
        "coverage_too_short",
        "interleaved_scans",
        "hu_implausible",
        "values_wrapped",
        "orientation_contradicts",
        "not_a_head",
        "field_of_view_cut",
        "incomplete_head",
        "not_aligned",
        "tilt_contradicts",
        "positions_contradict",
        "not_projected",
        "duplicate_of_patient",
        "duplicate_content",
    }
)
