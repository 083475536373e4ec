"""Writes films as true DICOM from line integrals of the procedural head: change what should be wrong, then write."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForProcessing, ExplicitVRLittleEndian, generate_uid

from client.phantom import procedural_head, template_head
from common.attenuation import hu_to_mu
from common.geometry import Geometry, Grid, Pose
from common.projection import Projector

CR = UID("1.2.840.10008.5.1.4.1.1.1")
FOR_PRESENTATION = UID("1.2.840.10008.5.1.4.1.1.1.1")
XA = UID("1.2.840.10008.5.1.4.1.1.12.1")
PIXEL_MM = 2.2
WATER_MU_PER_MM = 0.0193
SIZE = 176


@cache
def head_integrals(seed: int | None = None, turn_deg: float = 0.0, size: float = 1.0) -> NDArray[np.float32]:
    """Frontal and lateral line integrals of a head, (2, 176, 176), of the average one if no seed is given."""
    grid = Grid(shape=(80, 80, 80), voxel_mm=3.2)
    head = template_head(grid) if seed is None else procedural_head(seed, grid)
    pose = Pose(pitch_deg=turn_deg / 2, roll_deg=turn_deg / 3, yaw_deg=turn_deg)
    geometry = Geometry(detector_shape=(SIZE, SIZE), pixel_mm=PIXEL_MM, frontal_pose=pose, lateral_pose=pose)
    with torch.inference_mode():
        mu = hu_to_mu(torch.from_numpy(head.astype(np.float32)), WATER_MU_PER_MM)
        made: NDArray[np.float32] = (
            Projector(grid.model_copy(update={"voxel_mm": 3.2 * size}), geometry)(mu[None, None])[0].numpy().clip(min=0)
        )
    return made


@dataclass
class FilmWriter:
    """A film to be written.

    Attributes:
        integrals: line integrals, (row, column), as a radiologist hangs them.
        lateral: whether its attributes call it lateral.
        relationship: LIN or LOG, as the values are stored.
        sign: 1 where more exposure is stored as more.
        opened: share of the image left open on each side as (top, bottom, left, right) margins; 0 exposes all.
        edit: what is changed in the stored values before they are written.
    """

    integrals: NDArray[Any]
    lateral: bool = False
    relationship: str = "LIN"
    sign: int = 1
    bits: int = 14
    margins: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    scatter: float = 0.0
    noise: float = 0.004
    tags: dict[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    sop_class: UID = DigitalXRayImageStorageForProcessing
    syntax: UID = ExplicitVRLittleEndian

    def exposure(self) -> NDArray[np.float64]:
        """Exposure as a share of the open field's, with noise, 0.0005 where no beam falls."""
        exposure = np.exp(-self.integrals.astype(np.float64))
        exposure = exposure + self.scatter * exposure[self.integrals > 0.3].mean()
        exposure /= exposure.max()
        rows, columns = exposure.shape
        top, bottom, left, right = self.margins
        inside = np.zeros(exposure.shape, dtype=bool)
        inside[
            round(top * rows) : rows - round(bottom * rows), round(left * columns) : columns - round(right * columns)
        ] = True
        exposure[~inside] = 0.0005
        rng = np.random.default_rng(1)
        spread = self.noise * np.sqrt(exposure)
        return np.clip(exposure + spread * rng.standard_normal(exposure.shape), 0.0002, None)

    def stored(self) -> NDArray[np.uint16]:
        """Stored values: linear with the open field at 80 % of the scale, or four decades over the whole scale."""
        full = (1 << self.bits) - 1
        if self.relationship == "LIN":
            values = 0.8 * full * self.exposure()
        else:
            values = full * (1 + np.log10(0.8 * self.exposure()) / 4)
        values = np.rint(values).clip(0, full)
        return (values if self.sign > 0 else full - values).astype(np.uint16)

    def dataset(self) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = self.sop_class
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = self.syntax
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        stored = self.stored()
        view = Dataset()
        view.CodeValue, view.CodingSchemeDesignator = ("399173006" if self.lateral else "272479007"), "SCT"
        view.CodeMeaning = "left lateral" if self.lateral else "postero-anterior"
        values: dict[str, Any] = {
            "SOPClassUID": self.sop_class,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": "1.2.826.1",
            "SeriesInstanceUID": "1.2.826.2",
            "PatientID": "SECRET-7741",
            "PatientName": "SECRET^NAME",
            "Modality": "DX",
            "ImageType": ["ORIGINAL", "PRIMARY", ""],
            "BodyPartExamined": "SKULL",
            "PresentationIntentType": "FOR PROCESSING",
            "PixelIntensityRelationship": self.relationship,
            "PixelIntensityRelationshipSign": self.sign,
            "PresentationLUTShape": "INVERSE" if self.sign > 0 else "IDENTITY",
            "PhotometricInterpretation": "MONOCHROME1" if self.sign > 0 else "MONOCHROME2",
            "RescaleSlope": "1",
            "RescaleIntercept": "0",
            "RescaleType": "US",
            "ImagerPixelSpacing": [PIXEL_MM, PIXEL_MM],
            "DistanceSourceToDetector": "1500",
            "DistanceSourceToPatient": "1000",
            "EstimatedRadiographicMagnificationFactor": "1.5",
            "ViewPosition": "LL" if self.lateral else "PA",
            "ViewCodeSequence": [view],
            "PatientOrientation": ["P", "F"] if self.lateral else ["L", "F"],
            "ImageLaterality": "U",
            "AcquisitionDate": "20260301",
            "AcquisitionTime": "101500" if self.lateral else "101200",
            "Rows": stored.shape[0],
            "Columns": stored.shape[1],
            "BitsAllocated": 16,
            "BitsStored": self.bits,
            "HighBit": self.bits - 1,
            "PixelRepresentation": 0,
            "SamplesPerPixel": 1,
        }
        for keyword, value in (values | self.tags).items():
            if keyword not in self.drop:
                setattr(dataset, keyword, value)
        if "PixelData" not in {*self.drop, *self.tags}:
            dataset.PixelData = stored.tobytes()
        dataset["PixelData"].VR = "OW"
        return dataset

    def write(self, path: Path) -> Path:
        dataset = self.dataset()
        dataset.set_original_encoding(self.syntax.is_implicit_VR, self.syntax.is_little_endian)
        dataset.save_as(path, enforce_file_format=True)
        return path


def frontal(**changes: Any) -> FilmWriter:
    return FilmWriter(head_integrals()[0], **changes)


def lateral(**changes: Any) -> FilmWriter:
    return FilmWriter(head_integrals()[1], lateral=True, **changes)
