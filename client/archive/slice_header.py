"""The header of one slice as the archive keeps it: freed of every identifier."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, final

from client.archive.pseudonym import Pseudonyms
from client.archive.vocabulary import image_type, modality, storage, vendor
from client.dicom import ImageHeader, decodable

SECONDS_A_DAY = 86_400.0
Owner = tuple[str, str]
Vector = tuple[float, ...]


@final
class SliceHeader(NamedTuple):
    """What quality control and decoding need of one image object. Nothing in it names a patient.

    A tuple, since an archive's headers are made anew from its index at every start: first what each slice has of its
    own, then what the slices of a series share.

    Attributes:
        folder, name: the file; never shown, since names of files may hold names of patients.
        size_bytes, modified_ns: the file's state when its header was read.
        instance: pseudonym of the SOP instance.
        position: centre of the first pixel in mm, LPS (0020,0032); empty if absent.
        number: instance number, or of a frame its place among the frames counted from 1; None if absent.
        frame: index of this slice among the frames of its object.
        acquisition: acquisition number, None if absent.
        acquired_s: seconds of the acquisition after a moment that the site's secret decides; None if absent.
        sop_class: DICOM SOP Class UID if it stores CT images or cone-beam ones, else ``OTHER``.
        decodable: whether this installation can decode the transfer syntax.
        modality: ``CT`` or ``OTHER``.
        image_type: upper case, ``OTHER`` in place of words that no verdict depends on.
        manufacturer: vendor from a fixed list, or ``other``.
        rows, columns: size of the slice in pixels.
        frames: 1, unless this stands for a multi-frame object that could not be told apart by frame.
        orientation: direction cosines of the columns' index, then of the rows' index (0020,0037), LPS; empty if absent.
        pixel_spacing_mm: between rows, then between columns (0028,0030); empty if absent.
        thickness_mm: slice thickness, None if absent.
        slope, intercept: stored value to HU, None if absent.
        padding, padding_limit: stored value of pixels outside the field of view, and the other end of their range;
            None if absent.
        tilt_deg: the gantry's tilt as stated, its sign the vendor's own; None if absent.
        kvp: tube voltage, None if absent.
        contrast: whether a contrast agent was given.
        computed: whether the image is computed from others: a reformat, a projection, a map.
        hounsfield: whether values are HU as far as the header says.
        study: pseudonym of the study.
        frame_of_reference: pseudonym of what positions are relative to; empty if absent.
    """

    folder: Path
    name: str
    size_bytes: int
    modified_ns: int
    instance: str
    position: Vector
    number: int | None
    frame: int
    acquisition: int | None
    acquired_s: float | None
    sop_class: str
    decodable: bool
    modality: str
    image_type: tuple[str, ...]
    manufacturer: str
    rows: int
    columns: int
    frames: int
    orientation: Vector
    pixel_spacing_mm: Vector
    thickness_mm: float | None
    slope: float | None
    intercept: float | None
    padding: int | None
    padding_limit: int | None
    tilt_deg: float | None
    kvp: float | None
    contrast: bool
    computed: bool
    hounsfield: bool
    study: str
    frame_of_reference: str

    def __repr__(self) -> str:
        shown = zip(self._fields[2:], self[2:], strict=True)
        return f"SliceHeader({', '.join(f'{name}={value!r}' for name, value in shown)})"

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name

    @property
    def has_geometry(self) -> bool:
        """Whether position, orthonormal orientation, spacing and size are all there and possible."""
        return len(self.position) == 3 and _is_possible(
            self.orientation, self.pixel_spacing_mm, self.rows, self.columns
        )

    @property
    def matrix(self) -> tuple[int, int, float, float]:
        """Rows, columns and pixel spacing: about equal for slices that stack."""
        row_mm, column_mm = self.pixel_spacing_mm
        return self.rows, self.columns, round(row_mm, 4), round(column_mm, 4)


@lru_cache(maxsize=1024)
def _is_possible(orientation: Vector, pixel_spacing_mm: Vector, rows: int, columns: int) -> bool:
    """Whether what the slices of a series share of their geometry is all there and possible."""
    if (len(orientation), len(pixel_spacing_mm)) != (6, 2):
        return False
    row, column = orientation[:3], orientation[3:]
    unit = all(abs(math.hypot(*direction) - 1) < 1e-2 for direction in (row, column))
    square = abs(sum(a * b for a, b in zip(row, column, strict=True))) < 1e-2
    possible = all(0.05 <= spacing <= 10 for spacing in pixel_spacing_mm)
    return unit and square and possible and rows >= 32 and columns >= 32


def slice_header(
    image: ImageHeader, folder: Path, name: str, size_bytes: int, modified_ns: int, pseudonyms: Pseudonyms
) -> tuple[Owner, SliceHeader]:
    """Pseudonyms of series and patient, and the header with pseudonyms in place of every identifier.

    A patient without an identifier is known by the study, and without that by the series; a series without one by the
    study.

    Args:
        image: what the file says.
        folder, name: the file.
        size_bytes, modified_ns: its state before it was read.
        pseudonyms: the site's pseudonyms.
    """
    owner, study, frame_of_reference, shift_s = _names(
        pseudonyms, image.series, image.study, image.patient_id, image.issuer, image.frame_of_reference
    )
    header = SliceHeader(
        folder=folder,
        name=name,
        size_bytes=size_bytes,
        modified_ns=modified_ns,
        instance=pseudonyms.of("instance", image.sop_instance),
        sop_class=storage(image.sop_class),
        decodable=decodable(image.transfer_syntax),
        modality=modality(image.modality),
        image_type=image_type(image.image_type),
        manufacturer=vendor(image.manufacturer),
        rows=image.rows,
        columns=image.columns,
        frames=image.frames,
        orientation=image.orientation,
        position=image.position,
        pixel_spacing_mm=image.pixel_spacing_mm,
        thickness_mm=image.thickness_mm,
        slope=image.slope,
        intercept=image.intercept,
        padding=image.padding,
        padding_limit=image.padding_limit,
        tilt_deg=image.tilt_deg,
        kvp=image.kvp,
        contrast=image.contrast,
        number=image.number,
        frame=image.frame,
        acquisition=image.acquisition,
        acquired_s=None if image.acquired_s is None else (image.acquired_s + shift_s) % SECONDS_A_DAY,
        computed=image.computed,
        hounsfield=image.hounsfield,
        study=study,
        frame_of_reference=frame_of_reference,
    )
    return owner, header


@lru_cache(maxsize=1024)
def _names(
    pseudonyms: Pseudonyms, series: str, study: str, patient_id: str, issuer: str, frame_of_reference: str
) -> tuple[Owner, str, str, float]:
    """Series and patient, the study, the frame of reference, and what hides the times of the study's acquisitions."""
    named = ("series", series) if series else ("series without identifier", study)
    known = pseudonyms.of("study", study or series)
    patient = pseudonyms.of("patient", patient_id, issuer) if patient_id else known
    frame = frame_of_reference and pseudonyms.of("frame of reference", frame_of_reference)
    shift_s = float(int(pseudonyms.of("clock", study or series)[:8], 16) % SECONDS_A_DAY)
    return (pseudonyms.of(*named), patient), known, frame, shift_s
