"""Virtual films as DICOM objects, of the same virtual patients as the CT archives."""

from __future__ import annotations

import io
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from client.virtual_films.exposing import Film
from client.virtual_films.film_format import FilmFormat
from client.virtual_films.stated_geometry import describe_film, sop_class, view_position
from client.virtual_hospital import digest, virtual_object, virtual_uid
from common.files import disk_refusals

_STUDY_TIME = "110000"
_SERIES = {"frontal": 1, "lateral": 2}


def film_dataset(film: Film, film_format: FilmFormat, *, seed: int, number: int) -> Dataset:
    """A film as a DICOM object.

    Args:
        film: as it was exposed.
        film_format: how it is stored.
        seed: the archive's; with ``number`` it decides identifiers, which the patient's CT shares.
        number: the patient's, from 1.
    """
    dataset = virtual_object(seed, number, time_of_day=_STUDY_TIME)
    identity = (seed, "film", number, film.beam.name, str(film_format))
    uid = virtual_uid("instance", *identity)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class(film_format)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    dataset.ImageType = (
        ["ORIGINAL", "PRIMARY", "SINGLE PLANE"] if film_format.modality == "XA" else ["ORIGINAL", "PRIMARY"]
    )
    dataset.StudyID, dataset.AcquisitionNumber, dataset.InstanceNumber = "2", 1, 1
    dataset.SeriesNumber = _SERIES[film.beam.name]
    dataset.StudyDescription = "VIRTUAL SKULL FILMS"
    dataset.SeriesDescription = f"VIRTUAL SKULL {view_position(film.geometry, film.beam)}"
    dataset.StudyInstanceUID = virtual_uid(seed, "film study", number)
    dataset.SeriesInstanceUID = virtual_uid("series", *identity)
    dataset.Manufacturer, dataset.ManufacturerModelName = "TomoRay Federated", "virtual film"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "0", "virtual"
    describe_film(dataset, film, film_format)
    stored = film_format.stored(film.exposure, film.geometry.pixel_mm)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def write_film(root: Path, film: Film, film_format: FilmFormat, *, seed: int, number: int) -> Path:
    """Write a film below ``root``, in folders whose names mean nothing; returns its file.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    dataset = film_dataset(film, film_format, seed=seed, number=number)
    names = digest(seed, "film", number, str(dataset.SOPInstanceUID)).hex()
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    path = root / names[:2] / names[2:10] / names[10:18].upper()
    with disk_refusals(root):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    return path
