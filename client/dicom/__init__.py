"""Reading DICOM safely: hostile bytes are parsed and decoded in a limited process of their own."""

from client.dicom.header import HEADER_TAGS, DamagedHeader, ImageHeader, image_header
from client.dicom.limits import ReaderLimits
from client.dicom.plain_file import MAXIMUM_FILE_BYTES, open_plain
from client.dicom.questions import Frame, ReadFile
from client.dicom.reader import Reader, shared_reader
from client.dicom.syntaxes import decodable
from client.dicom.wire import Fault

__all__ = [
    "HEADER_TAGS",
    "MAXIMUM_FILE_BYTES",
    "DamagedHeader",
    "Fault",
    "Frame",
    "ImageHeader",
    "ReadFile",
    "Reader",
    "ReaderLimits",
    "decodable",
    "image_header",
    "open_plain",
    "shared_reader",
]
