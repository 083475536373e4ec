"""Transfer syntaxes this installation decodes, and the one decoder that is used for each."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import NamedTuple, final

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
NATIVE = frozenset({IMPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"})


@final
class Decoder(NamedTuple):
    """How a compressed syntax is decoded.

    Attributes:
        plugin: name of pydicom's plug-in.
        module: the module it needs.
    """

    plugin: str
    module: str


_GDCM = Decoder("gdcm", "gdcm")
_EXTENDED = Decoder("gdcm-extended", "gdcm")
_JPEG_LS = Decoder("pyjpegls", "jpeg_ls")
_OPENJPEG = Decoder("pylibjpeg", "openjpeg")
_RLE = Decoder("pylibjpeg", "rle")

# One decoder for each syntax: a damaged frame is not tried on every codec there is.
DECODERS = {
    "1.2.840.10008.1.2.4.50": _GDCM,  # JPEG baseline, lossy
    "1.2.840.10008.1.2.4.51": _EXTENDED,  # JPEG extended of 8 or 12 bits, lossy
    "1.2.840.10008.1.2.4.57": _GDCM,  # JPEG lossless
    "1.2.840.10008.1.2.4.70": _GDCM,  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": _JPEG_LS,  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": _JPEG_LS,  # JPEG-LS near-lossless, lossy
    "1.2.840.10008.1.2.4.90": _OPENJPEG,  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": _OPENJPEG,  # JPEG 2000, may be lossy
    "1.2.840.10008.1.2.4.201": _OPENJPEG,  # High-Throughput JPEG 2000 lossless
    "1.2.840.10008.1.2.4.202": _OPENJPEG,  # High-Throughput JPEG 2000 lossless, by resolution
    "1.2.840.10008.1.2.4.203": _OPENJPEG,  # High-Throughput JPEG 2000, may be lossy
    "1.2.840.10008.1.2.5": _RLE,  # RLE lossless
}


@lru_cache(maxsize=64)
def decodable(syntax: str) -> bool:
    """Whether this installation decodes a transfer syntax; lossy ones are decoded like the others.

    Args:
        syntax: UID; empty for a file that states none, which is then read as implicit little endian.
    """
    if not syntax or syntax in NATIVE:
        return True
    decoder = DECODERS.get(syntax)
    return decoder is not None and find_spec(decoder.module) is not None
