"""What a stored case follows from: the code that makes it, the template it is aligned to, its headers and its bytes.

Code counts by whole folders, so that no list has to be kept of what matters and what does not. What those folders use
of others counts by its values: the procedural head by the template that it gives, the archive by the headers it read.
Words, discovery, virtual anatomy and virtual scanners can therefore change without a case being made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import client
from client.archive import Plan, SliceHeader
from client.case import template_sha256
from client.dicom import open_plain

CODE = (
    *("client/case", "client/dicom", "common/projection"),
    *("common/attenuation.py", "common/geometry.py", "common/spectrum"),
)

_READ_BYTES = 1 << 20
# Of a header: first the file, then what each slice has of its own, then what the slices of a series share.
_OWN, _SHARED = SliceHeader._fields.index("instance"), SliceHeader._fields.index("sop_class")


@lru_cache(maxsize=1)
def code_sha256() -> str:
    """SHA-256 of the code that makes a case and of the template's values, so that no case outlives what made it."""
    root = Path(str(client.__file__)).parents[1]
    return hashlib.sha256(f"{folders_sha256(root)} {template_sha256()}".encode()).hexdigest()


def folders_sha256(root: Path) -> str:
    """SHA-256 of the names and bytes of what makes a case, below the folder that holds both packages."""
    digest = hashlib.sha256()
    for name in CODE:
        place = root / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def plan_sha256(plan: Plan) -> str:
    """SHA-256 of a plan's values: which slices in which order, what their headers say, how they are spaced."""
    digest, shared = hashlib.sha256(), dict[tuple[object, ...], int]()
    for header in plan.slices:
        kind = shared.setdefault(header[_SHARED:], len(shared))
        digest.update(f"{kind} {header[_OWN:_SHARED]}\n".encode())
    spaced = (plan.spacing_mm, plan.coverage_mm, plan.tilt_deg, plan.steps_mm, len(plan.twins), plan.refuted)
    digest.update(f"{list(shared)} {spaced}".encode())
    return digest.hexdigest()


def bytes_sha256(slices: Iterable[SliceHeader]) -> str | None:
    """SHA-256 over which frames of which files the slices are, and the files' bytes; None if one cannot be read."""
    files: dict[Path, int] = {}
    frames = [(files.setdefault(header.path, len(files)), header.frame) for header in slices]
    digest = hashlib.sha256(repr(frames).encode())
    try:
        for path in files:
            with open_plain(path) as stream:
                content = hashlib.sha256()
                while part := stream.read(_READ_BYTES):
                    content.update(part)
            digest.update(content.digest())
    except OSError:
        return None
    return digest.hexdigest()
