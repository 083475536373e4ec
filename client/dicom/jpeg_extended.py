"""JPEG extended (process 2 and 4) through GDCM, as a plug-in of pydicom, whose own refuses 12 bits.

GDCM decodes both precisions if it is told the bits stored; the result is checked against GDCM's own file reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import gdcm  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
DECODER_DEPENDENCIES = {JPEG_EXTENDED: ("gdcm>=3.0.10",)}


def is_available(uid: str) -> bool:
    """Whether pydicom may use this for a transfer syntax."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Pixels of one encoded frame of one sample per pixel.

    Raises:
        ValueError: if the frame has several samples per pixel, or GDCM gives another number of bytes than expected.
    """
    if runner.samples_per_pixel != 1:
        raise ValueError("samples")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(runner.photometric_interpretation))
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(JPEG_EXTENDED)))
    stored = runner.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, runner.bits_allocated, stored, stored - 1, runner.pixel_representation))
    # GDCM gives its bytes as text.
    frame = cast("str", image.GetBuffer()).encode("utf-8", "surrogateescape")
    if len(frame) != runner.frame_length(unit="bytes"):
        raise ValueError("length")
    return frame
