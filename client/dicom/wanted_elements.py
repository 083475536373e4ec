"""Which elements of a slice's data set a glance takes, and where it puts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, final

from client.dicom.element_values import UNSIGNED
from client.dicom.element_walk import SEQUENCE


@final
class Said(NamedTuple):
    """Values, as written, that all slices of a series share; empty where absent."""

    syntax: bytes
    media_class: bytes
    sop_class: bytes
    study: bytes
    series: bytes
    patient: bytes
    issuer: bytes
    modality: bytes
    image_type: bytes
    manufacturer: bytes
    rows: bytes
    columns: bytes
    frames: bytes
    orientation: bytes
    spacing: bytes
    thickness: bytes
    slope: bytes
    intercept: bytes
    padding: bytes
    signed_padding: bytes
    limit: bytes
    signed_limit: bytes
    tilt: bytes
    sign: bytes
    kvp: bytes
    frame_of_reference: bytes
    rescale_type: bytes
    lossy: bytes
    ratio: bytes
    description: bytes
    codes: bytes
    processing: bytes
    characteristics: bytes
    agents: bytes
    routes: bytes
    agent: bytes
    route: bytes
    volume: bytes
    start: bytes
    stop: bytes
    dose: bytes
    rate: bytes
    duration: bytes
    ingredient: bytes
    concentration: bytes


SHARED: Final = len(Said._fields)
_OWN: Final = ("instance", "position", "number", "acquisition", "acquired")
INSTANCE, POSITION, NUMBER, ACQUISITION, ACQUIRED = range(SHARED, SHARED + len(_OWN))
SLOTS: Final = {name: slot for slot, name in enumerate((*Said._fields, *_OWN))}
META: Final = {b"\x02\x00\x10\x00": {b"UI": SLOTS["syntax"]}, b"\x02\x00\x02\x00": {b"UI": SLOTS["media_class"]}}
TAGS: Final = {
    0x00080008: {b"CS": "image_type"},
    0x00080016: {b"UI": "sop_class"},
    0x00080018: {b"UI": "instance"},
    0x00080032: {b"TM": "acquired"},
    0x00080060: {b"CS": "modality"},
    0x00080070: {b"LO": "manufacturer"},
    0x00082111: {b"ST": "description"},
    0x00089215: {b"SQ": "codes"},
    0x00100020: {b"LO": "patient"},
    0x00100021: {b"LO": "issuer"},
    0x00180010: {b"LO": "agent"},
    0x00180012: {b"SQ": "agents"},
    0x00180014: {b"SQ": "routes"},
    0x00180050: {b"DS": "thickness"},
    0x00180060: {b"DS": "kvp"},
    0x00181040: {b"LO": "route"},
    0x00181041: {b"DS": "volume"},
    0x00181042: {b"TM": "start"},
    0x00181043: {b"TM": "stop"},
    0x00181044: {b"DS": "dose"},
    0x00181046: {b"DS": "rate"},
    0x00181047: {b"DS": "duration"},
    0x00181048: {b"CS": "ingredient"},
    0x00181049: {b"DS": "concentration"},
    0x00181120: {b"DS": "tilt"},
    0x00189363: {b"SQ": "processing"},
    0x00189364: {b"SQ": "characteristics"},
    0x0020000D: {b"UI": "study"},
    0x0020000E: {b"UI": "series"},
    0x00200012: {b"IS": "acquisition"},
    0x00200013: {b"IS": "number"},
    0x00200032: {b"DS": "position"},
    0x00200037: {b"DS": "orientation"},
    0x00200052: {b"UI": "frame_of_reference"},
    0x00280008: {b"IS": "frames"},
    0x00280010: {b"US": "rows"},
    0x00280011: {b"US": "columns"},
    0x00280030: {b"DS": "spacing"},
    0x00280103: {b"US": "sign"},
    0x00280120: {b"US": "padding", b"SS": "signed_padding"},
    0x00280121: {b"US": "limit", b"SS": "signed_limit"},
    0x00281052: {b"DS": "intercept"},
    0x00281053: {b"DS": "slope"},
    0x00281054: {b"LO": "rescale_type"},
    0x00282110: {b"CS": "lossy"},
    0x00282112: {b"DS": "ratio"},
}


def wanted_slots(*, explicit: bool) -> Mapping[bytes, Mapping[bytes, int]]:
    """Slots by tag and VR as written."""
    wanted = {}
    for tag, names in TAGS.items():
        written = UNSIGNED.pack(tag >> 16) + UNSIGNED.pack(tag & 0xFFFF)
        slots = {representation: SLOTS[name] for representation, name in names.items()}
        # Without VRs a sequence is known by its tag, whether or not its length says where it ends.
        kinds = (b"", SEQUENCE) if SEQUENCE in slots else (b"",)
        wanted[written] = slots if explicit else dict.fromkeys(kinds, next(iter(slots.values())))
    return wanted
