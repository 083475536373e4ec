"""Virtual hospitals: stand-in archives of true DICOM CT, from procedural heads or deformations of a real one."""

from client.virtual_hospital.dicom_archive import write_series, write_virtual_archive
from client.virtual_hospital.faults import FAULTS, Fault
from client.virtual_hospital.head_source import find_head, read_head
from client.virtual_hospital.identifiers import digest, patient_id, virtual_uid
from client.virtual_hospital.scanner_style import STYLES, ScannerStyle, acquire
from client.virtual_hospital.virtual_anatomy import VirtualAnatomy
from client.virtual_hospital.virtual_object import virtual_object

__all__ = [
    "FAULTS",
    "STYLES",
    "Fault",
    "ScannerStyle",
    "VirtualAnatomy",
    "acquire",
    "digest",
    "find_head",
    "patient_id",
    "read_head",
    "virtual_object",
    "virtual_uid",
    "write_series",
    "write_virtual_archive",
]
