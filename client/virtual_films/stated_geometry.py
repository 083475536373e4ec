"""The attributes of a virtual film: what DX, CR and XA ask for (PS3.3 A.26, A.2, A.14) and what rooms add."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    XRayAngiographicImageStorage,
)

from client.virtual_films.exposing import Film
from client.virtual_films.film_format import FilmFormat
from common.geometry import Beam, FrontalView, Geometry, LateralView

# PS3.16 CID 4010, SNOMED CT.
VIEW_CODES: Final = {
    "AP": ("399348003", "antero-posterior"),
    "PA": ("272479007", "postero-anterior"),
    "LL": ("399173006", "left lateral"),
    "RL": ("399198007", "right lateral"),
}
# A positioner of angiography: 0 is behind an anterior detector, positive towards the patient's left.
_PRIMARY_ANGLE_DEG: Final = {"PA": 0.0, "AP": 180.0, "LL": 90.0, "RL": -90.0}


def sop_class(film_format: FilmFormat) -> UID:
    """The storage class of a film's object."""
    if film_format.modality == "CR":
        return ComputedRadiographyImageStorage
    if film_format.modality == "XA":
        return XRayAngiographicImageStorage
    presented = film_format.presentation
    return DigitalXRayImageStorageForPresentation if presented else DigitalXRayImageStorageForProcessing


def view_position(geometry: Geometry, beam: Beam) -> FrontalView | LateralView:
    """View Position (0018,5101) of a beam."""
    return geometry.frontal if beam.name == "frontal" else geometry.lateral


def describe_film(dataset: Dataset, film: Film, film_format: FilmFormat) -> None:
    """Write into a dataset all that follows from the film and from how it is stored, but its pixels and identity."""
    _describe_tube(dataset, film)
    _describe_pixels(dataset, film_format)
    _describe_collimator(dataset, film, film_format)
    _describe_flip(dataset, film_format)
    view = str(view_position(film.geometry, film.beam))
    dataset.Modality = film_format.modality
    dataset.PatientOrientation = list(film_format.orientation(film.beam))
    dataset.BodyPartExamined = "SKULL"
    if film_format.modality == "XA":
        dataset.PositionerMotion = "STATIC"
        dataset.PositionerPrimaryAngle = _decimal(_PRIMARY_ANGLE_DEG[view])
        dataset.PositionerSecondaryAngle = "0"
        dataset.RadiationSetting = "GR"
        dataset.XRayTubeCurrent = dataset.ExposureTime = "10"
    else:
        dataset.ViewPosition = view
    if film_format.modality == "DX":
        _describe_detector(dataset, film_format)
    if film_format.modality != "XA":
        _describe_filter(dataset, film)
        dataset.ViewCodeSequence = Sequence([_code(*VIEW_CODES[view])])
        dataset.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence()
    dataset.AnatomicRegionSequence = Sequence([_code("89546000", "Skull")])


def _describe_tube(dataset: Dataset, film: Film) -> None:
    geometry, style = film.geometry, film.style
    dataset.KVP = _decimal(style.spectrum.kvp)
    dataset.DistanceSourceToDetector = _decimal(geometry.source_detector_mm)
    dataset.DistanceSourceToPatient = _decimal(geometry.source_patient_mm)
    magnification = geometry.source_detector_mm / geometry.source_patient_mm
    dataset.EstimatedRadiographicMagnificationFactor = _decimal(magnification)
    dataset.ImagerPixelSpacing = [_decimal(geometry.pixel_mm)] * 2
    dataset.FocalSpots = _decimal(style.focal_spot_mm)
    dataset.Grid = "NONE" if style.grid is None else ["FIXED", "FOCUSED"]


def _describe_filter(dataset: Dataset, film: Film) -> None:
    style = film.style
    copper, aluminium = style.spectrum.copper_mm, style.spectrum.aluminium_mm
    dataset.FilterMaterial = ["ALUMINUM", "COPPER"] if copper else "ALUMINUM"
    dataset.FilterThicknessMinimum = dataset.FilterThicknessMaximum = (
        [_decimal(aluminium), _decimal(copper)] if copper else _decimal(aluminium)
    )


def _describe_pixels(dataset: Dataset, film_format: FilmFormat) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, film_format.photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, film_format.bits, film_format.bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = film_format.relationship
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "YES" if film_format.text else "NO"
    if film_format.modality != "DX" or film_format.presentation:
        dataset.WindowCenter, dataset.WindowWidth = str((film_format.highest + 1) // 2), str(film_format.highest + 1)
    if film_format.modality == "XA":
        return
    dataset.PixelIntensityRelationshipSign = film_format.sign
    densities = 1000 * film_format.decades / film_format.highest
    dataset.RescaleIntercept = "0"
    dataset.RescaleSlope = _decimal(densities) if film_format.in_densities else "1"
    dataset.RescaleType = "OD" if film_format.in_densities else "US"
    dataset.PresentationLUTShape = "INVERSE" if film_format.photometric == "MONOCHROME1" else "IDENTITY"


def _describe_collimator(dataset: Dataset, film: Film, film_format: FilmFormat) -> None:
    """The open rectangle's edges in the matrix, counted from 1 at the first row and column beyond it on each side."""
    rows, columns = film.geometry.detector_shape
    turned = film_format.quarter_turns % 2
    if film.style.field_mm is None:
        return
    full = rows * film.geometry.pixel_mm, columns * film.geometry.pixel_mm
    cut = [
        max(round((edge - open_mm) / 2 / film.geometry.pixel_mm), 0)
        for edge, open_mm in zip(full, film.style.field_mm, strict=True)
    ]
    (down, right), (height, width) = (cut[::-1], (columns, rows)) if turned else (cut, (rows, columns))
    dataset.CollimatorShape = "RECTANGULAR"
    dataset.CollimatorLeftVerticalEdge, dataset.CollimatorRightVerticalEdge = right, width - right + 1
    dataset.CollimatorUpperHorizontalEdge, dataset.CollimatorLowerHorizontalEdge = down, height - down + 1


def _describe_flip(dataset: Dataset, film_format: FilmFormat) -> None:
    """How a flipped matrix lies to the detector (PS3.3 C.8.11.4): turned clockwise first, then flipped."""
    if not film_format.flipped:
        return
    dataset.FieldOfViewOrigin = ["0", "0"]
    dataset.FieldOfViewRotation = str(90 * (film_format.quarter_turns % 4))
    dataset.FieldOfViewHorizontalFlip = "YES"


def _describe_detector(dataset: Dataset, film_format: FilmFormat) -> None:
    dataset.PresentationIntentType = "FOR PRESENTATION" if film_format.presentation else "FOR PROCESSING"
    dataset.ImageLaterality = "U"
    dataset.DetectorType, dataset.DetectorConfiguration = "SCINTILLATOR", "AREA"
    dataset.PositionerType = "NONE"
    dataset.AcquisitionContextSequence = Sequence()


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _decimal(value: float) -> str:
    return f"{value:.8g}"
