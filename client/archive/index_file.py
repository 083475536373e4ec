"""The archive's index on disk: columns of what was found, sealed under the site's secret."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

import client.dicom
import client.header
from client.archive.slice_header import Owner, SliceHeader, Vector
from client.dicom import DECODERS, decodable
from common.files import make_folder, write_atomic

HASH_BYTES = 16
MAXIMUM_INDEX_BYTES = 1 << 31
_MAGIC = b"tomoray archive index\n"
_SEAL_BYTES = 32
_OWN_FIELDS: Final = 10
NO_NUMBER = int(np.iinfo(np.int32).min)
NO_TIME = -1.0
_NOWHERE = (0.0, 0.0, 0.0)
_PREFIXES = ("folder", "file", "slice")
# Columns by name: type of the values, and how many there are in a row.
_COLUMNS: dict[str, tuple[type[np.generic], int]] = {
    "folder_key": (np.uint8, HASH_BYTES),
    "folder_state": (np.uint8, HASH_BYTES),
    "folder_files": (np.int64, 0),
    "file_key": (np.uint8, HASH_BYTES),
    "file_count": (np.int32, 0),
    "slice_kind": (np.int32, 0),
    "slice_instance": (np.uint8, HASH_BYTES),
    "slice_position": (np.float64, 3),
    "slice_number": (np.int32, 0),
    "slice_frame": (np.int32, 0),
    "slice_acquisition": (np.int32, 0),
    "slice_acquired": (np.float64, 0),
    "kinds": (np.uint8, 0),
}

Columns = dict[str, NDArray[Any]]
Words = tuple[str, ...]
Value = float | None
Shared = tuple[
    str, bool, str, Words, str, int, int, int, Vector, Vector, Value, Value, Value, int | None, Value, bool,
    bool, bool, str, str,
]  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class FolderFindings:
    """What the plain files of one folder hold.

    Attributes:
        folder: the folder; it is not written.
        key: keyed hash of where the folder lies in the archive.
        state: keyed hash of its listing; zeros if a change may have gone unnoticed.
        file_keys: keyed hashes of the files, one after the other, likewise.
        counts: slices of each file; negative for one that cannot be read, or is packed.
        owners: pseudonyms of series and patient of each slice.
        slices: in the order of the files.
    """

    folder: Path
    key: bytes
    state: bytes
    file_keys: bytes
    counts: Sequence[int]
    owners: Sequence[Owner]
    slices: Sequence[SliceHeader]


@final
class Kind(NamedTuple):
    """What slices of a series have in common.

    Attributes:
        owner: pseudonyms of series and patient.
        position: the position, if it has not three numbers.
        shared: fields of a slice header from SOP class on.
    """

    owner: Owner
    position: Vector | None
    shared: Shared


_KINDS = TypeAdapter(tuple[Kind, ...])


def read_index(path: Path, key: bytes) -> tuple[Columns, tuple[Kind, ...]] | None:
    """Columns and kinds, or None if the index is missing, damaged, another site's, or another release's.

    Args:
        path: the file.
        key: the site's key for its index.
    """
    try:
        if path.stat().st_size > MAXIMUM_INDEX_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    body = len(_MAGIC) + _SEAL_BYTES
    if not hmac.compare_digest(content[:body], _MAGIC + _seal(content[body:], key)):
        return None
    try:
        columns = safetensors.numpy.load(content[body:])
        kinds = _KINDS.validate_json(columns["kinds"].tobytes())
    except (KeyError, ValidationError, safetensors.SafetensorError):
        return None
    return (columns, kinds) if _is_sound(columns, kinds) else None


def write_index(path: Path, key: bytes, findings: Sequence[FolderFindings]) -> None:
    """Write an index that replaces the one before, for its owner alone.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``; the index before stays.
    """
    body = safetensors.numpy.save(_columns(findings))
    make_folder(path.parent)
    write_atomic(path, _MAGIC + _seal(body, key) + body)


def _seal(body: bytes, key: bytes) -> bytes:
    digest = hashlib.blake2b(key=key, digest_size=_SEAL_BYTES, person=b"seal")
    digest.update(_reading_code())
    digest.update(body)
    return digest.digest()


@lru_cache(maxsize=1)
def _reading_code() -> bytes:
    """SHA-256 of what decides how a file is told: our code, pydicom's version, and what can be decoded here."""
    wings, here = (client.dicom, client.header), Path(__file__).parent
    read = [path for wing in wings for path in sorted(Path(str(wing.__file__)).parent.glob("*.py"))]
    names = ("discovery", "folders", "index", "index_file", "packed", "pseudonym", "slice_header", "vocabulary")
    digest = hashlib.sha256(version("pydicom").encode())
    for path in (*read, *(here / f"{name}.py" for name in names)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(bytes(decodable(syntax) for syntax in DECODERS))
    return digest.digest()


def _columns(findings: Sequence[FolderFindings]) -> Columns:
    kinds: dict[Kind, int] = {}
    slices = [header for folder in findings for header in folder.slices]
    owners = [owner for folder in findings for owner in folder.owners]
    values: dict[str, Any] = {
        "folder_key": b"".join(folder.key for folder in findings),
        "folder_state": b"".join(folder.state for folder in findings),
        "folder_files": [len(folder.counts) for folder in findings],
        "file_key": b"".join(folder.file_keys for folder in findings),
        "file_count": [count for folder in findings for count in folder.counts],
        "slice_kind": [kinds.setdefault(_kind(*pair), len(kinds)) for pair in zip(owners, slices, strict=True)],
        "slice_instance": bytes.fromhex("".join(header.instance for header in slices)),
        "slice_position": [header.position if len(header.position) == 3 else _NOWHERE for header in slices],
        "slice_number": [NO_NUMBER if header.number is None else header.number for header in slices],
        "slice_frame": [header.frame for header in slices],
        "slice_acquisition": [NO_NUMBER if header.acquisition is None else header.acquisition for header in slices],
        "slice_acquired": [NO_TIME if header.acquired_s is None else header.acquired_s for header in slices],
        "kinds": b"",
    }
    values["kinds"] = json.dumps(list(kinds)).encode()
    return {name: _column(values[name], *_COLUMNS[name]) for name in _COLUMNS}


def _column(values: bytes | list[Any], kind: type[np.generic], width: int) -> NDArray[Any]:
    column = np.frombuffer(values, kind) if isinstance(values, bytes) else np.asarray(values, kind)
    return column.reshape(-1, width) if width else column


def _kind(owner: Owner, header: SliceHeader) -> Kind:
    return Kind(owner, None if len(header.position) == 3 else header.position, header[_OWN_FIELDS:])


def _is_sound(columns: Columns, kinds: Sequence[Kind]) -> bool:
    """Whether columns have their types and shapes, and agree with each other."""
    if columns.keys() != _COLUMNS.keys():
        return False
    for name, (kind, width) in _COLUMNS.items():
        column = columns[name]
        if column.dtype != kind or column.shape[1:] != ((width,) if width else ()):
            return False
    lengths = {prefix: {len(columns[name]) for name in _COLUMNS if name.startswith(prefix)} for prefix in _PREFIXES}
    if any(len(found) != 1 for found in lengths.values()):
        return False
    files, counts, ids = columns["folder_files"], columns["file_count"], columns["slice_kind"]
    whole = int(files.sum()) == len(counts) and int(counts[counts > 0].sum()) == len(ids)
    possible = not (files < 0).any() and not (ids < 0).any() and not (ids >= len(kinds)).any()
    return whole and possible and not (columns["slice_frame"] < 0).any()
