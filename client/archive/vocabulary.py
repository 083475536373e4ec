"""The words of headers that are kept: fixed lists, since a damaged header can hold a patient's name in any place."""

from __future__ import annotations

from functools import lru_cache

OTHER = "OTHER"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
# CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage.
CT_STORAGES = frozenset({CT_STORAGE, f"{CT_STORAGE}.1", f"{CT_STORAGE}.2"})
# X-Ray 3D Angiographic and X-Ray 3D Craniofacial Image Storage.
CONE_BEAM_STORAGES = frozenset(f"1.2.840.10008.5.1.4.1.1.13.1.{kind}" for kind in (1, 2))
LOCALIZER_WORDS = frozenset({"LOCALIZER", "LOCALISER", "SCOUT", "SURVIEW", "TOPOGRAM", "SCANOGRAM", "SCOUTVIEW"})
_IMAGE_TYPE_WORDS = LOCALIZER_WORDS | {"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL"}
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


def storage(sop_class: str) -> str:
    """A SOP Class UID (0008,0016) if it stores CT images or cone-beam ones, or ``OTHER``."""
    return sop_class if sop_class in CT_STORAGES or sop_class in CONE_BEAM_STORAGES else OTHER


def modality(stored: str) -> str:
    """``CT``, or ``OTHER``, from a Modality (0008,0060) in upper case."""
    return stored if stored == "CT" else OTHER


@lru_cache(maxsize=256)
def image_type(stored: tuple[str, ...]) -> tuple[str, ...]:
    """An Image Type (0008,0008) in upper case, ``OTHER`` in place of each word that no verdict depends on."""
    return tuple(word if word in _IMAGE_TYPE_WORDS else OTHER for word in stored)
