"""Reading DICOM safely: hostile bytes are parsed and decoded in a limited process of their own."""

from client.dicom.deidentified import Identity, NotWritable, deidentified
from client.dicom.glance import UNSURE, HeaderGlance, Unsure
from client.dicom.limits import ReaderLimits
from client.dicom.plain_file import MAXIMUM_FILE_BYTES, open_plain
from client.dicom.questions import Frame, ReadFile, ReadFilm
from client.dicom.reader import Reader, shared_reader
from client.dicom.received import ObjectReader, ReceivedObject
from client.dicom.syntaxes import DECODERS, decodable
from client.dicom.wire import Fault
from client.header import HEADER_TAGS, DamagedHeader, ImageHeader, image_header

__all__ = [
    "DECODERS",
    "HEADER_TAGS",
    "MAXIMUM_FILE_BYTES",
    "UNSURE",
    "DamagedHeader",
    "Fault",
    "Frame",
    "HeaderGlance",
    "Identity",
    "ImageHeader",
    "NotWritable",
    "ObjectReader",
    "ReadFile",
    "ReadFilm",
    "Reader",
    "ReaderLimits",
    "ReceivedObject",
    "Unsure",
    "decodable",
    "deidentified",
    "image_header",
    "open_plain",
    "shared_reader",
]
