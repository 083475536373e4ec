"""Whose a synthetic series is, and of which images it was made; what every object of it says beside its pixels."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self, final

from pydicom import Dataset
from pydicom.uid import UID

from client.header import FilmIdentity
from client.synthesis.film_choice import ChosenPair
from common.trust import RELEASE

MARK: Final = "SYNTHETIC – RESEARCH USE ONLY"
MANUFACTURER, MODEL = "TomoRay Federated", "lifting generator"
# Scanners number their series from 1, and secondary captures from 9000 or so.
CT_SERIES_NUMBER, UNCERTAINTY_SERIES_NUMBER = 88001, 88002

# PS3.16: purposes of reference (CID 7202, CID 7005), and what made the image (CID 7162).
_SOURCE = ("121322", "DCM", "Source image for image processing operation")
_MAKER = ("109100", "DCM", "Synthesizing Equipment")
_BY_NETWORK = ("123110", "DCM", "Artificial Intelligence")


def new_uid() -> UID:
    """A new UID under the root of UUIDs (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid4().int}")


@final
@dataclass(frozen=True)
class SeriesOrigin:
    """Patient and study that a synthetic series joins, and the images that it was made of.

    Attributes:
        study: Study Instance UID; a new one where none is joined.
        identity: patient and study in clear; None for nobody's.
        sources: SOP class and instance of each image it was made of; none where nobody may find them again.
        moment: when it is made; every object says the same.
    """

    study: str = field(default_factory=new_uid, repr=False)
    identity: FilmIdentity | None = field(default=None, repr=False)
    sources: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    moment: datetime = field(default_factory=lambda: datetime.now().astimezone())

    @classmethod
    def of(cls, pair: ChosenPair) -> Self:
        """The films' patient and study, the frontal film's where they are of two studies."""
        headers = [one.header for one in pair.both]
        named = [(header.sop_class, header.sop_instance) for header in headers]
        # What is no UID can neither be joined nor be found again.
        sources = tuple(pair for pair in named if all(UID(uid).is_valid for uid in pair))
        study = headers[0].study if UID(headers[0].study).is_valid else new_uid()
        return cls(study, headers[0].identity, sources)

    def describe(self, dataset: Dataset, provenance: str) -> None:
        """Write patient, study, sources, derivation and mark into an object."""
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.StudyInstanceUID = self.study
        now = self.moment
        self._describe_people(dataset)
        dataset.InstanceCreationDate = dataset.SeriesDate = dataset.ContentDate = now.strftime("%Y%m%d")
        dataset.InstanceCreationTime = dataset.SeriesTime = dataset.ContentTime = now.strftime("%H%M%S")
        dataset.SyntheticData = "YES"
        dataset.SeriesDescription = dataset.ImageComments = MARK
        dataset.DerivationDescription = f"{MARK}. {provenance}"
        dataset.DerivationCodeSequence = [_code(_BY_NETWORK)]
        if self.sources:
            dataset.SourceImageSequence = [_source(*source) for source in self.sources]
        dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, MODEL
        dataset.SoftwareVersions, dataset.DeviceSerialNumber = RELEASE, "none"
        dataset.ContributingEquipmentSequence = [_equipment(now)]
        dataset.BodyPartExamined, dataset.PatientPosition = "HEAD", "HFS"

    def _describe_people(self, dataset: Dataset) -> None:
        who, now = self.identity, self.moment
        if who is None:
            dataset.PatientName, dataset.PatientID = "SYNTHETIC^RESEARCH", "SYNTHETIC"
            dataset.PatientIdentityRemoved = "YES"
            dataset.DeidentificationMethod = "made without patient attributes"
            who = FilmIdentity(
                study_date=now.strftime("%Y%m%d"), study_time=now.strftime("%H%M%S"), study_id="1", description=MARK
            )
        else:
            dataset.PatientName, dataset.PatientID = who.patient_name, who.patient_id
        dataset.PatientBirthDate, dataset.PatientSex = who.birth_date, who.sex
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = who.study_date, who.study_time, who.study_id
        dataset.AccessionNumber, dataset.ReferringPhysicianName = who.accession, who.referring
        if who.description:
            dataset.StudyDescription = who.description


def _source(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [_code(_SOURCE)]
    return item


def _equipment(now: datetime) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code(_MAKER)]
    item.Manufacturer, item.ManufacturerModelName, item.SoftwareVersions = MANUFACTURER, MODEL, RELEASE
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S%z")
    item.ContributionDescription = f"{MARK}: predicted by a trained network"
    return item


def _code(code: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item
