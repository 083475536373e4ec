"""What headers say in words: contrast, image type, identity, character set."""

from __future__ import annotations

from pydicom.uid import JPEGLSLossless

from client.virtual_hospital.faults.fault import Fault, Slices, set_as_found


def _contrast_by_volume_alone(slices: Slices) -> Slices:
    for image in slices:
        image.ContrastBolusVolume = "100"
    return slices


def _contrast_denied(slices: Slices) -> Slices:
    for image in slices:
        image.ContrastBolusAgent = "OHNE KM"
    return slices


def _recompressed(slices: Slices) -> Slices:
    """A PACS compressed the scanner's images without loss and called them derived."""
    for image in slices:
        image.compress(JPEGLSLossless, generate_instance_uid=False)
        image.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    return slices


def _unknown_character_set(slices: Slices) -> Slices:
    for image in slices:
        set_as_found(image, "SpecificCharacterSet", "windows-1252")
    return slices


def _everybody_is_anonymous(slices: Slices) -> Slices:
    for image in slices:
        image.PatientID = image.PatientName = "ANONYMOUS"
    return slices


FAULTS = (
    Fault("contrast-by-volume", "contrast said by its volume alone", True, _contrast_by_volume_alone),
    Fault("contrast-denied", "a contrast agent called 'OHNE KM'", True, _contrast_denied),
    Fault("recompressed", "the scanner's images, compressed without loss and called derived", True, _recompressed),
    Fault("unknown-charset", "a character set that DICOM does not know", True, _unknown_character_set),
    Fault("anonymous", "the patient is called ANONYMOUS, as others are", True, _everybody_is_anonymous),
)
