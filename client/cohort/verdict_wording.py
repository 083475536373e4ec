"""What is said of each verdict: its reason in one line, and what the site's engineer can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from client.archive import COPIES, MAXIMUM_TILT_DEG, MINIMUM_SLICES, VerdictCode
from client.case import LARGEST_CUT_SHARE

REASONS: dict[VerdictCode, str] = {
    VerdictCode.ACCEPTED: "used as a case",
    VerdictCode.UNREADABLE: "a file of the series is damaged or cannot be read",
    VerdictCode.ARCHIVE_IN_ARCHIVE: "a packed file (zip, 7z, rar, tar or gzip) lies among the images and is not opened",
    VerdictCode.NOT_CT: "not a CT image",
    VerdictCode.CONE_BEAM: "cone-beam CT (X-Ray 3D Craniofacial or Angiographic Image), whose values are no true HU",
    VerdictCode.LOCALIZER_OR_DERIVED: "localizer, secondary capture, or images computed from others",
    VerdictCode.NOT_HU: "values are said to be no HU of 120 kV: material map, virtual non-contrast, other energy",
    VerdictCode.MIXED_PATIENTS: "images of several patients carry one series identifier",
    VerdictCode.MULTI_FRAME: "a multi-frame object whose frames say neither place nor scale, or are too many",
    VerdictCode.CONTRAST_ENHANCED: "a contrast agent is named, and the study takes heads without contrast alone",
    VerdictCode.NO_GEOMETRY: "position, orientation, pixel spacing or size is missing or impossible",
    VerdictCode.NO_RESCALE: "rescale slope or intercept is missing, so values are not HU",
    VerdictCode.TOO_LARGE: "more pixels or slices than are decoded safely",
    VerdictCode.COMPRESSION_UNSUPPORTED: "pixel data are compressed in a way this installation cannot decode",
    VerdictCode.TOO_FEW_SLICES: f"fewer than {MINIMUM_SLICES} slices",
    VerdictCode.MIXED_ORIENTATION: "slices are not parallel",
    VerdictCode.MIXED_SIZE: "slices differ in rows, columns or pixel spacing",
    VerdictCode.TILT_BEYOND_LIMITS: f"slices lean over {MAXIMUM_TILT_DEG:g} degrees from axial or shift sideways",
    VerdictCode.REPEATED_ACQUISITIONS: "the same positions were scanned several times, as in perfusion or dynamic CT",
    VerdictCode.DUPLICATE_SLICES: "several different slices at one position",
    VerdictCode.DUPLICATE_NUMBERS: "different slices carry one instance identifier or number: series may be mixed up",
    VerdictCode.SLICE_GAPS: "slices are missing",
    VerdictCode.TOO_THICK: "slices lie further apart than the study allows",
    VerdictCode.COVERAGE_TOO_SHORT: "less of the patient was scanned than the study asks for",
    VerdictCode.INTERLEAVED_SCANS: "slices show two scans in turn, though headers tell of one",
    VerdictCode.HU_IMPLAUSIBLE: "air, brain or bone are far from their HU, e.g. the offset of 1024 is lost or doubled",
    VerdictCode.VALUES_WRAPPED: "values beyond the stored bits came out as others: metal as bone, brain or a hole",
    VerdictCode.ORIENTATION_CONTRADICTS: "the head lies another way round than its orientation and positions say",
    VerdictCode.NOT_A_HEAD: "no skull with brain inside was found",
    VerdictCode.FIELD_OF_VIEW_CUT: f"the field of view cuts the head in over {LARGEST_CUT_SHARE:.0%} of its slices",
    VerdictCode.INCOMPLETE_HEAD: "part of the brain lies outside the scan",
    VerdictCode.NOT_ALIGNED: "the head could not be brought into the canonical pose",
    VerdictCode.TILT_CONTRADICTS: "the images lean as neither tilt, orientation nor positions say, or not as they say",
    VerdictCode.POSITIONS_CONTRADICT: "slices are shifted in their positions or in their images alone",
    VerdictCode.NOT_PROJECTED: "slices reach the study's source or detector, or a view meets nothing of the head",
    VerdictCode.DUPLICATE_OF_PATIENT: "a series of the same patient with finer spacing, then more slices, is used",
    VerdictCode.DUPLICATE_CONTENT: "the same images as an accepted case under another patient identifier",
    VerdictCode.WITHOUT_FILMS: "the study learns from films, and the patient has no pair of them that can be used",
}
_EXPORT_AGAIN = "export the series again from the PACS"
_EXPORT_ORIGINAL = "export the scanner's original axial series instead"
MENDS: dict[VerdictCode, str] = {
    VerdictCode.UNREADABLE: _EXPORT_AGAIN,
    VerdictCode.ARCHIVE_IN_ARCHIVE: "unpack it into the archive, then remove it",
    VerdictCode.CONE_BEAM: "add a CT of the same patient, if there is one",
    VerdictCode.LOCALIZER_OR_DERIVED: _EXPORT_ORIGINAL,
    VerdictCode.NOT_HU: "add the study's conventional or 70 keV series",
    VerdictCode.MIXED_PATIENTS: "export each patient again from the PACS, and correct the series identifiers",
    VerdictCode.MULTI_FRAME: "export it as classic CT images, or as Enhanced CT with its functional groups",
    VerdictCode.CONTRAST_ENHANCED: "add the patient's series before contrast",
    VerdictCode.NO_GEOMETRY: "export again without a converter or anonymiser that drops geometry",
    VerdictCode.NO_RESCALE: "export again without a converter that drops the rescale",
    VerdictCode.COMPRESSION_UNSUPPORTED: "have the PACS send it uncompressed or as JPEG, JPEG-LS, JPEG 2000 or RLE",
    VerdictCode.TOO_FEW_SLICES: "export the whole series",
    VerdictCode.MIXED_ORIENTATION: _EXPORT_ORIGINAL,
    VerdictCode.MIXED_SIZE: "export each reconstruction as a series of its own",
    VerdictCode.TILT_BEYOND_LIMITS: _EXPORT_ORIGINAL,
    VerdictCode.REPEATED_ACQUISITIONS: "export one acquisition as a series of its own",
    VerdictCode.DUPLICATE_SLICES: "export each reconstruction as a series of its own",
    VerdictCode.DUPLICATE_NUMBERS: _EXPORT_AGAIN,
    VerdictCode.SLICE_GAPS: "export the whole series",
    VerdictCode.TOO_THICK: "add a thinner reconstruction",
    VerdictCode.COVERAGE_TOO_SHORT: "add a series of the whole head",
    VerdictCode.INTERLEAVED_SCANS: "export each acquisition as a series of its own",
    VerdictCode.HU_IMPLAUSIBLE: "look for a converter that changed pixel values or rescale; export again without it",
    VerdictCode.VALUES_WRAPPED: "export again with 16 bits stored, or in the scanner's extended scale",
    VerdictCode.ORIENTATION_CONTRADICTS: "look at the series and export it again with the position it was scanned in",
    VerdictCode.FIELD_OF_VIEW_CUT: "add a reconstruction with a larger field of view",
    VerdictCode.INCOMPLETE_HEAD: "add a series of the whole head",
    VerdictCode.NOT_ALIGNED: "look at the series: implants, large defects or an unusual position are likely",
    VerdictCode.TILT_CONTRADICTS: "export the scanner's own slices, without a converter that drops orientation",
    VerdictCode.POSITIONS_CONTRADICT: "export each block of slices as the scanner placed it, without a converter",
    VerdictCode.NOT_PROJECTED: "ask the coordinator for a geometry with more room around the head",
    VerdictCode.DUPLICATE_CONTENT: "correct the patient identifiers if they are one patient's",
    VerdictCode.WITHOUT_FILMS: "add a frontal and a lateral film of the same weeks; see what is said of films",
}
"""What can be done; a verdict without an entry needs nothing done."""

SET_ASIDE: dict[str, str] = {
    VerdictCode.NOT_CT.value: "not a CT image",
    VerdictCode.LOCALIZER_OR_DERIVED.value: "localizer, or computed from other images",
    VerdictCode.NOT_HU.value: "values are no HU of 120 kV",
    VerdictCode.NO_GEOMETRY.value: "without a place, as dose pages are",
    VerdictCode.MIXED_ORIENTATION.value: "turned otherwise, as scouts and reformats are, or of another study",
    VerdictCode.MIXED_SIZE.value: "of another size or pixel spacing",
    VerdictCode.REPEATED_ACQUISITIONS.value: "of another scan of the series, or a place watched for contrast",
    COPIES: "copy of a slice that is used",
}
"""Why images of a series that is used are left out."""


@final
@dataclass(frozen=True)
class SeriesVerdict:
    """The verdict on one series, by pseudonym; it names no file.

    Attributes:
        series: pseudonym of the series.
        patient: pseudonym of the patient.
        code: the verdict.
        slices: slices found.
    """

    series: str
    patient: str
    code: VerdictCode
    slices: int

    @property
    def reason(self) -> str:
        """The verdict in one line."""
        return REASONS[self.code]

    @property
    def mend(self) -> str:
        """What the site's engineer can do about it; empty where nothing needs doing."""
        return MENDS.get(self.code, "")
