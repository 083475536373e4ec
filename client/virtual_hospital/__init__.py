"""Virtual hospitals: stand-in archives of true DICOM CT, from procedural heads or deformations of a real one."""

from client.virtual_hospital.dicom_archive import write_series, write_virtual_archive
from client.virtual_hospital.head_source import find_head, read_head
from client.virtual_hospital.scanner_style import STYLES, acquire

__all__ = [
    "STYLES",
    "acquire",
    "find_head",
    "read_head",
    "write_series",
    "write_virtual_archive",
]
