"""The weights of a release (safetensors), read only as far as the card's study makes them.

What a file may hold follows from the study: names, shapes, float32, every byte accounted for. The header is bounded
before it is parsed, and no length that it states is trusted.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import TypedDict

import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import TensorSpec
from common.networks import build_generator
from common.study import Study

MOST_WEIGHT_BYTES = 1 << 31
# A hundred times what the largest network of this version needs.
MOST_HEADER_BYTES = 1 << 22
_LENGTH_BYTES, _FLOAT_BYTES = 8, 4


@lru_cache(maxsize=8)
def generator_tensors(study: Study) -> tuple[TensorSpec, ...]:
    """Names and shapes of the parameters of a study's generator, found without allocating one.

    Raises:
        Refusal: ``RELEASE_CARD_INVALID`` if the study makes no generator, or one too large for a release.
    """
    try:
        with torch.device("meta"):
            network = build_generator(study)
    except (Refusal, RuntimeError, ValueError) as error:
        mend = "get the release anew from the coordinator"
        what = "the card's study makes no generator"
        raise Refusal(ExitCode.RELEASE_CARD_INVALID, what, where="card.json, study", mend=mend) from error
    specs = tuple(TensorSpec(name, tuple(p.shape)) for name, p in network.named_parameters())
    if _largest_bytes(specs) > MOST_WEIGHT_BYTES:
        mend = "release a smaller network"
        what = f"the card's study makes weights of more than {MOST_WEIGHT_BYTES} bytes"
        raise Refusal(ExitCode.RELEASE_CARD_INVALID, what, where="card.json, study", mend=mend)
    return specs


def largest_file_bytes(study: Study) -> int:
    """More bytes than this no file of the study's weights can have."""
    return _largest_bytes(generator_tensors(study))


def read_weights(data: bytearray, study: Study, where: str) -> dict[str, Tensor]:
    """Weights of a safetensors file in memory: float32 views of ``data``, in the order of the network.

    Raises:
        Refusal: ``RELEASE_WEIGHTS_INVALID`` at the first thing that is not what the study makes, or is not finite.
    """
    specs = generator_tensors(study)
    found, start = _header(data, where)
    expected = _expected_header(specs)
    if set(found) != set(expected):
        raise _invalid("names differ from those of the card's study", where)
    for name, entry in expected.items():
        if found[name] != entry:
            raise _invalid(f"'{name}' has another shape, type or place than the card's study makes", where)
    if len(data) != start + _FLOAT_BYTES * sum(spec.elements for spec in specs):
        raise _invalid("file is longer or shorter than its tensors", where)
    weights: dict[str, Tensor] = {}
    for spec in specs:
        offset = start + expected[spec.name]["data_offsets"][0]
        flat = torch.frombuffer(data, dtype=torch.float32, count=spec.elements, offset=offset)
        if not bool(torch.isfinite(flat).all()):
            raise _invalid(f"'{spec.name}' holds values that are not finite", where)
        weights[spec.name] = flat.reshape(spec.shape)
    return weights


class _Entry(TypedDict):
    dtype: str
    shape: list[int]
    data_offsets: list[int]


def _expected_header(specs: Iterable[TensorSpec]) -> dict[str, _Entry]:
    """What safetensors writes of these: tensors of one type lie one after the other in the order of their names."""
    header, end = dict[str, _Entry](), 0
    for spec in sorted(specs, key=lambda spec: spec.name):
        begin, end = end, end + _FLOAT_BYTES * spec.elements
        header[spec.name] = {"dtype": "F32", "shape": list(spec.shape), "data_offsets": [begin, end]}
    return header


def _header(data: bytearray, where: str) -> tuple[dict[str, object], int]:
    """The header's entries, each name once, and where the numbers start."""
    if len(data) < _LENGTH_BYTES:
        raise _invalid("file is too short for safetensors", where)
    start = _LENGTH_BYTES + int(struct.unpack_from("<Q", data)[0])
    if start > min(len(data), MOST_HEADER_BYTES) or start % _FLOAT_BYTES:
        raise _invalid("header is longer than the file or than any of a release, or out of step", where)
    try:
        header = json.loads(data[_LENGTH_BYTES:start].decode("ascii"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise _invalid("header is no JSON, or names something twice", where) from error
    if not isinstance(header, dict):
        raise _invalid("header is no JSON object", where)
    return header, start


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _largest_bytes(specs: Iterable[TensorSpec]) -> int:
    return MOST_HEADER_BYTES + _FLOAT_BYTES * sum(spec.elements for spec in specs)


def _invalid(what: str, where: str) -> Refusal:
    mend = "get the release anew from the coordinator"
    return Refusal(ExitCode.RELEASE_WEIGHTS_INVALID, what, where=where, mend=mend)
