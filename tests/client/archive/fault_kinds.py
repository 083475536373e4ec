"""What archives hold that is not as it should be, by kind: the series kept for it, and the tests with variants of it.

A series is named by how its file begins; a test by its file below `tests/client` and its name, with a parameter where
one variant of several is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class FaultKind:
    """One kind.

    Attributes:
        what: the kind in a line.
        series: the faulty series of this kind.
        variants: tests of variants made here.
    """

    what: str
    series: tuple[str, ...]
    variants: tuple[str, ...]


HEADERS, STRAYS = "archive/test_header_faults.py::", "archive/test_strays.py::"
SCANS, PACKED = "archive/test_several_scans.py::", "archive/test_packed.py::"
ORIENTATION, GEOMETRY = "case/test_orientation.py::", "case/test_stack_geometry.py::"
VALUES, PADDING, COUCH = "case/test_value_survey.py::", "case/test_padding.py::", "case/test_couch.py::"
NIFTI, PLANNING = "virtual_hospital/test_nifti_head.py::", "virtual_hospital/test_planning_ct.py::"
SET_ASIDE = f"{STRAYS}test_strays_are_set_aside_and_counted_and_the_stack_is_used"
BY_HEADER, IN_SPITE = (
    f"{HEADERS}test_what_is_wrong_by_its_header_is_refused",
    f"{HEADERS}test_what_is_good_in_spite_of_its_header_is_used",
)

REFUSED_KINDS = (
    FaultKind(
        "recorded orientation against content",
        ("48",),
        (
            f"{ORIENTATION}test_a_head_recorded_another_way_round_is_refused",
            f"{ORIENTATION}test_a_mirrored_head_recorded_another_way_round_is_refused",
            f"{ORIENTATION}test_a_real_head_is_accepted_as_recorded_and_no_other_way_round",
        ),
    ),
    FaultKind(
        "tilt, orientation and positions that contradict each other",
        ("44", "47"),
        (
            f"{GEOMETRY}test_a_tilted_gantry_whose_orientation_is_lost_or_turned_round_is_refused",
            f"{GEOMETRY}test_slices_that_lean_in_their_images_alone_are_refused",
        ),
    ),
    FaultKind(
        "positions that are smooth in z alone",
        ("58",),
        (
            f"{GEOMETRY}test_a_block_moved_in_the_header_alone_is_refused",
            f"{GEOMETRY}test_a_block_that_moved_in_the_images_alone_is_refused",
        ),
    ),
    FaultKind(
        "one series UID, two patients or two scans",
        ("09",),
        (
            f"{SCANS}test_two_patients_under_one_series_are_refused",
            f"{SCANS}test_interleaved_scans_of_one_patient_are_parted_and_one_is_used",
            f"{SCANS}test_scans_that_only_their_pixels_tell_apart_are_refused",
        ),
    ),
    FaultKind(
        "CT by modality and no HU",
        ("26", "27"),
        (
            f"{BY_HEADER}[electron density]",
            f"{BY_HEADER}[effective atomic number]",
            f"{BY_HEADER}[190 keV]",
            f"{BY_HEADER}[50 keV in an attribute]",
            f"{BY_HEADER}[virtual non-contrast]",
        ),
    ),
    FaultKind(
        "values that wrapped around",
        ("29",),
        (
            f"{VALUES}test_metal_beyond_12_bits_is_told",
            f"{VALUES}test_blurred_metal_that_wraps_falls_from_the_top_of_the_range",
        ),
    ),
    FaultKind(
        "the scale of a NIfTI head",
        (),
        (
            f"{NIFTI}test_values_that_are_no_hu_are_refused_with_a_mend",
            f"{NIFTI}test_a_background_of_no_numbers_is_air",
        ),
    ),
    FaultKind(
        "contrast said anywhere",
        ("60_contrast_elsewhere_0", "60_contrast_elsewhere_2"),
        (
            f"{BY_HEADER}[contrast by route]",
            f"{BY_HEADER}[contrast by rate]",
            f"{BY_HEADER}[contrast by code]",
            f"{HEADERS}test_a_badly_written_volume_is_contrast_and_damages_nothing",
        ),
    ),
)
USED_KINDS = (
    FaultKind("strays in a series", ("03", "04"), (SET_ASIDE,)),
    FaultKind("the same pixels at the same place", ("06", "08"), (f"{STRAYS}test_copies_of_slices_count_once",)),
    FaultKind(
        "numbers that restart with each block",
        ("12",),
        (f"{STRAYS}test_numbers_restart_with_blocks_alone", f"{SCANS}test_blocks_of_one_scan_stay_together"),
    ),
    FaultKind(
        "one identifier for everybody",
        ("13",),
        (
            "cohort/test_identity.py::test_studies_of_a_placeholder_are_patients_of_their_own",
            "cohort/test_identity.py::test_many_heads_of_one_identifier_fall_on_both_sides_each_by_its_own_study",
        ),
    ),
    FaultKind(
        "padding inside the image's circle",
        ("30", "33", "34"),
        (
            f"{PADDING}test_padding_outside_a_circle_becomes_air",
            f"{PADDING}test_a_range_of_several_padding_values_becomes_air",
        ),
    ),
    FaultKind("noise in air that nothing cuts off", ("39",), (f"{VALUES}test_noisy_air_is_air",)),
    FaultKind(
        "orientation and spacing that jitter",
        ("41",),
        (
            f"{STRAYS}test_geometry_that_jitters_is_one_stack",
            "virtual_hospital/test_faults.py::test_geometry_that_jitters_under_a_tilted_gantry_is_a_sound_head",
        ),
    ),
    FaultKind(
        "words that deny contrast",
        ("59_contrast_word_00", "59_contrast_word_04", "59_contrast_word_06"),
        (
            "header/test_contrast_words.py::test_words_that_deny_are_no_contrast",
            f"{IN_SPITE}[contrast denied in full]",
        ),
    ),
    FaultKind(
        "bolus tracking and test injections in a series",
        (),
        (
            f"{SET_ASIDE}[bolus tracking below the head]",
            f"{SET_ASIDE}[a test injection at a slice]",
            f"{SET_ASIDE}[tracking that nothing tells apart]",
        ),
    ),
    FaultKind("a series UID for each slice, or none", (), (f"{HEADERS}test_slices_are_grouped_by_what_they_share",)),
    FaultKind(
        "cone beam, named",
        (),
        (f"{BY_HEADER}[craniofacial cone beam]", f"{BY_HEADER}[angiographic cone beam]"),
    ),
    FaultKind(
        "NIfTI whatever its slope, its name and its packing",
        (),
        (
            f"{NIFTI}test_whatever_slope_type_and_byte_order_the_same_head",
            f"{NIFTI}test_names_decide_nothing_of_how_a_file_is_packed",
        ),
    ),
    FaultKind(
        "a zip in the archive, named",
        (),
        (
            f"{PACKED}test_a_zip_among_images_is_named_and_the_rest_is_used",
            f"{PACKED}test_an_archive_of_zips_alone_is_not_empty_and_remembered",
        ),
    ),
    FaultKind(
        "an unknown character set",
        ("61",),
        (f"{IN_SPITE}[a made-up character set]", f"{IN_SPITE}[a character set misspelt]"),
    ),
    FaultKind(
        "an original, recompressed",
        ("01",),
        (f"{IN_SPITE}[recompressed by code]", f"{IN_SPITE}[original and secondary]"),
    ),
    FaultKind(
        "a planning CT on its couch",
        (),
        (
            f"{PLANNING}test_heads_made_of_a_planning_ct_are_accepted",
            f"{COUCH}test_a_head_on_a_couch_makes_the_case_that_it_makes_without",
        ),
    ),
)
