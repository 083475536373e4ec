"""Identifiers of virtual patients and what is stored of them, the same for equal seeds."""

from __future__ import annotations

import hashlib

from pydicom.uid import UID


def digest(*parts: int | str) -> bytes:
    """32 bytes that follow from the parts alone."""
    return hashlib.sha256("/".join(["tomoray-virtual", *map(str, parts)]).encode("ascii")).digest()


def virtual_uid(*parts: int | str) -> UID:
    """A UID below 2.25, from 128 bits marked as a UUID of version 8 (RFC 9562, DICOM PS3.5 B.2)."""
    bits = int.from_bytes(digest("uid", *parts)[:16], "big")
    bits = bits & ~(0xF << 76) | (8 << 76)
    bits = bits & ~(0x3 << 62) | (2 << 62)
    return UID(f"2.25.{bits}")


def patient_id(seed: int, number: int) -> str:
    """Patient ID of an archive's patient: CT and films share it."""
    return f"VIRTUAL-{digest(seed, 'id', number).hex()[:8].upper()}"


def patient_name(number: int) -> str:
    """Patient's Name, evidently invented."""
    return f"VIRTUAL^{number:04d}"
