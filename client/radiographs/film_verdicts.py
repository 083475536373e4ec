"""The verdicts on films and on pairs of films, each with its reason and with what the site's engineer can do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, final


@final
class FilmVerdict(StrEnum):
    """What quality control says of a film, in the order it judges, then of a pair."""

    USED = "used"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    COMPRESSION_UNSUPPORTED = "compression_unsupported"
    NOT_A_DETECTOR_IMAGE = "not_a_detector_image"
    SUBTRACTED = "subtracted"
    FILM_PROCESSED = "film_processed"
    RESCALE_INVALID = "rescale_invalid"
    INTENSITY_UNKNOWN = "intensity_unknown"
    SPACING_MISSING = "spacing_missing"
    SPACING_IMPLAUSIBLE = "spacing_implausible"
    GEOMETRY_IMPLAUSIBLE = "geometry_implausible"
    GEOMETRY_CONTRADICTS = "geometry_contradicts"
    VIEW_UNSUITABLE = "view_unsuitable"
    MULTIPLE_EXPOSURES = "multiple_exposures"
    POLARITY_CONTRADICTS = "polarity_contradicts"
    INTENSITY_CONTRADICTS = "intensity_contradicts"
    SIZE_IMPLAUSIBLE = "size_implausible"
    HEAD_CUT = "head_cut"
    NOT_A_HEAD = "not_a_head"
    HEAD_COVERED = "head_covered"
    EXPOSURE_CLIPPED = "exposure_clipped"
    VIEW_CONTRADICTS = "view_contradicts"
    ORIENTATION_UNKNOWN = "orientation_unknown"
    LATERALITY_UNKNOWN = "laterality_unknown"
    PAIR_OTHER_PATIENT = "pair_other_patient"
    PAIR_ONE_VIEW = "pair_one_view"
    PAIR_TOO_FAR = "pair_too_far"
    PAIR_TIED = "pair_tied"


_V = FilmVerdict
_RAW: Final = "have the detector send the image for processing (DX, FOR PROCESSING)"
_EXPORT_AGAIN: Final = "export the film again from the PACS"
_DISTANCES: Final = "correct the distances that the device writes, or leave them out"
_TURNED: Final = "send it as it was acquired, with Patient Orientation (0020,0020)"

REASONS: Final[dict[FilmVerdict, str]] = {
    _V.USED: "used",
    _V.UNREADABLE: "the file is damaged, is no image, or lacks pixels",
    _V.TOO_LARGE: "more pixels than are decoded safely",
    _V.COMPRESSION_UNSUPPORTED: "pixel data are compressed in a way this installation cannot decode",
    _V.NOT_A_DETECTOR_IMAGE: "not a grey image of an X-ray detector: colour, secondary capture, or lossy in 8 bits",
    _V.SUBTRACTED: "a mask was subtracted, so values are no attenuation",
    _V.FILM_PROCESSED: "processed for viewing by a curve that cannot be undone",
    _V.RESCALE_INVALID: "rescale slope is zero, negative or no number, or the intercept is none",
    _V.INTENSITY_UNKNOWN: "nothing says whether values are linear or logarithmic in exposure",
    _V.SPACING_MISSING: "neither Imager Pixel Spacing nor Pixel Spacing is stated",
    _V.SPACING_IMPLAUSIBLE: "the stated spacing makes a detector of an impossible size",
    _V.GEOMETRY_IMPLAUSIBLE: "the distances of source, patient and detector are impossible",
    _V.GEOMETRY_CONTRADICTS: "the stated magnification is not that of the stated distances",
    _V.VIEW_UNSUITABLE: "an oblique or axial view (Towne, Waters, submentovertical), no frontal or lateral one",
    _V.MULTIPLE_EXPOSURES: "several exposures on one image, or one image stitched of several",
    _V.POLARITY_CONTRADICTS: "attributes and image disagree on whether more exposure is stored as more",
    _V.INTENSITY_CONTRADICTS: "said to be logarithmic and is linear, or the other way round",
    _V.SIZE_IMPLAUSIBLE: "the head is smaller or larger than the settings allow",
    _V.HEAD_CUT: "collimation or the image's edge cuts off over a tenth of the head",
    _V.NOT_A_HEAD: "the image resembles no frontal or lateral head",
    _V.HEAD_COVERED: "a marker or text covers over 2% of the head",
    _V.EXPOSURE_CLIPPED: "over 1% of the head is saturated or without any signal",
    _V.VIEW_CONTRADICTS: "attributes say frontal and the image is lateral, or the other way round",
    _V.ORIENTATION_UNKNOWN: "which way up the head is, is said wrongly or cannot be told",
    _V.LATERALITY_UNKNOWN: "nothing decides which side of a frontal film is the patient's left",
    _V.PAIR_OTHER_PATIENT: "the films, or film and CT, are of different patients",
    _V.PAIR_ONE_VIEW: "there is no second view: one view twice, or the same image twice",
    _V.PAIR_TOO_FAR: "the films, or films and CT, were taken too far apart, or when is not stated",
    _V.PAIR_TIED: "several films or CTs fit equally well",
}
MENDS: Final[dict[FilmVerdict, str]] = {
    _V.UNREADABLE: _EXPORT_AGAIN,
    _V.COMPRESSION_UNSUPPORTED: "have the PACS send it uncompressed or as JPEG, JPEG-LS, JPEG 2000 or RLE",
    _V.NOT_A_DETECTOR_IMAGE: "export the detector's own image (DX, CR or XA)",
    _V.SUBTRACTED: "export the run without subtraction",
    _V.FILM_PROCESSED: _RAW,
    _V.RESCALE_INVALID: "export again without a converter that changes the rescale",
    _V.INTENSITY_UNKNOWN: "have the device write Pixel Intensity Relationship (0028,1040)",
    _V.SPACING_MISSING: "have the device write Imager Pixel Spacing (0018,1164)",
    _V.SPACING_IMPLAUSIBLE: "have the device write the spacing in mm",
    _V.GEOMETRY_IMPLAUSIBLE: _DISTANCES,
    _V.GEOMETRY_CONTRADICTS: _DISTANCES,
    _V.VIEW_UNSUITABLE: "choose the frontal and the lateral film of the examination",
    _V.MULTIPLE_EXPOSURES: "export each exposure as an image of its own",
    _V.POLARITY_CONTRADICTS: "look at the film; export it again without a converter that inverts values",
    _V.INTENSITY_CONTRADICTS: "correct Pixel Intensity Relationship (0028,1040) at the device",
    _V.SIZE_IMPLAUSIBLE: "look at spacing and distances; an infant's head is outside the study",
    _V.HEAD_CUT: "choose a film that shows the whole head",
    _V.HEAD_COVERED: "choose a film whose marker lies beside the head",
    _V.EXPOSURE_CLIPPED: "choose another exposure of the same view",
    _V.VIEW_CONTRADICTS: "correct View Position (0018,5101) or View Code Sequence (0054,0220)",
    _V.ORIENTATION_UNKNOWN: _TURNED,
    _V.LATERALITY_UNKNOWN: _TURNED,
    _V.PAIR_OTHER_PATIENT: "give films and CT of one patient",
    _V.PAIR_ONE_VIEW: "give one frontal and one lateral film",
    _V.PAIR_TOO_FAR: "give films of one examination, with a CT of the same weeks",
    _V.PAIR_TIED: "name the films, or the CT, that shall be used",
}
"""What can be done; a verdict without an entry needs nothing done, or nothing can be."""


@final
class FilmRefused(Exception):
    """A film that is not used.

    Args:
        verdict: why.
    """

    def __init__(self, verdict: FilmVerdict) -> None:
        self.verdict = verdict
        super().__init__(REASONS[verdict])
