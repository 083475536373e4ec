"""Reading DICOM safely: hostile bytes are parsed and decoded in a limited process of their own."""

from client.dicom.header import HEADER_TAGS, DamagedHeader, ImageHeader, image_header
from client.dicom.plain_file import MAXIMUM_FILE_BYTES, open_plain

__all__ = ["HEADER_TAGS", "MAXIMUM_FILE_BYTES", "DamagedHeader", "ImageHeader", "image_header", "open_plain"]
