"""Scanner vendors: a fixed list, so that free text of a header goes no further than where it is read."""

from __future__ import annotations

from functools import lru_cache

_VENDORS = {
    "SIEMENS": "siemens",
    "GE": "ge",
    "PHILIPS": "philips",
    "TOSHIBA": "canon",
    "CANON": "canon",
    "HITACHI": "hitachi",
    "FUJIFILM": "hitachi",
    "NEUSOFT": "neusoft",
    "UIH": "united-imaging",
    "UNITED": "united-imaging",
    "SHIMADZU": "shimadzu",
    "SAMSUNG": "samsung",
    "NEUROLOGICA": "samsung",
    "CARESTREAM": "carestream",
}


@lru_cache(maxsize=256)
def vendor(manufacturer: str) -> str:
    """The vendor of a DICOM Manufacturer (0008,0070), or ``other``."""
    words = manufacturer.upper().replace("_", " ").replace("-", " ").split()
    return next((_VENDORS[word] for word in words if word in _VENDORS), "other")
