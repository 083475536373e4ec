"""What every DICOM object of a virtual patient says, whatever took its image: whose it is, and that nobody is meant."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from client.virtual_hospital.identifiers import patient_id, patient_name

_STUDY_DATE = "20000101"


def virtual_object(seed: int, number: int, *, time_of_day: str) -> Dataset:
    """An object without class, identifiers of its own or image.

    Args:
        seed: the archive's; with ``number`` it decides who the patient is.
        number: the patient's, from 1.
        time_of_day: DICOM time (PS3.5 6.2, TM) of study, series, acquisition and content.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationVersionName = "TOMORAY_VIRTUAL"
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = _STUDY_DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = time_of_day
    dataset.PatientName, dataset.PatientID = patient_name(number), patient_id(seed, number)
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "virtual patient, made by TomoRay Federated"
    dataset.ReferringPhysicianName = dataset.AccessionNumber = ""
    return dataset
