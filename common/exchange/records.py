"""Messages and weights in Flower's records, and back, with every name and size checked.

On the wire each record is salted. Flower names every piece by the SHA-256 of its bytes, and whoever knows a name
beforehand can take it: so the header carries a random salt, and the arrays are masked with it. The salt travels in the
open: masking hides nothing, it only makes names that nobody can foretell.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from pydantic import BaseModel, TypeAdapter, ValidationError
from torch import Tensor

from common.exchange.messages import (
    EvaluateReply,
    EvaluateRequest,
    Kind,
    RegisterReply,
    RegisterRequest,
    Reply,
    Request,
    TrainReply,
    TrainRequest,
)
from common.exchange.weights import Manifest, Weights, exchange_refusal

HEADER = "header"
WEIGHT_RECORDS = ("generator", "discriminator")
SALT = "salt"
SALT_BYTES = 16
MAX_HEADER_BYTES = 64 * 1024

_REQUESTS: dict[Kind, TypeAdapter[Any]] = {
    Kind.REGISTER: TypeAdapter(RegisterRequest),
    Kind.TRAIN: TypeAdapter(TrainRequest),
    Kind.EVALUATE: TypeAdapter(EvaluateRequest),
}
_REPLIES: dict[Kind, TypeAdapter[Any]] = {
    Kind.REGISTER: TypeAdapter(RegisterReply),
    Kind.TRAIN: TypeAdapter(TrainReply),
    Kind.EVALUATE: TypeAdapter(EvaluateReply),
}


def pack(message: Request | Reply, weights: Mapping[str, tuple[Manifest, Weights]] | None = None) -> RecordDict:
    """A message with the weights that travel beside it, by network name."""
    record = RecordDict({HEADER: ConfigRecord({"json": message.model_dump_json()})})
    for network, (manifest, values) in (weights or {}).items():
        if network not in WEIGHT_RECORDS:
            raise exchange_refusal("unknown network", network)
        record[network] = manifest.pack(values)
    return record


def salted(record: RecordDict) -> RecordDict:
    """A record as it travels: with a fresh salt, and every array masked by it."""
    salt = secrets.token_bytes(SALT_BYTES)
    header = ConfigRecord({**record.config_records[HEADER], SALT: salt})
    return _with(record, header, salt)


def unsalted(record: RecordDict) -> RecordDict:
    """The record that :func:`salted` was given.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` if it has no salt.
    """
    header = record.get(HEADER)
    salt = header.get(SALT) if isinstance(header, ConfigRecord) else None
    if not isinstance(header, ConfigRecord) or not isinstance(salt, bytes) or len(salt) != SALT_BYTES:
        raise exchange_refusal("message has no salt", HEADER)
    plain = ConfigRecord({name: value for name, value in header.items() if name != SALT})
    return _with(record, plain, salt)


def read_request(record: RecordDict, kind: Kind) -> Request:
    """The request in a record.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` if the header is missing, too large, malformed, or of another kind.
    """
    request: Request = _read_header(record, _REQUESTS[kind])
    return request


def read_reply(record: RecordDict, kind: Kind) -> Reply:
    """The reply in a record; raises as :func:`read_request` does."""
    reply: Reply = _read_header(record, _REPLIES[kind])
    return reply


def unpack_weights(record: RecordDict, manifests: Mapping[str, Manifest]) -> dict[str, dict[str, Tensor]]:
    """Weights by network; the record must hold exactly the networks named.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` if a network is missing, extra, or differs from its manifest.
    """
    if set(record) - {HEADER} != set(manifests):
        raise exchange_refusal("networks differ from the manifest", "weights")
    unpacked: dict[str, dict[str, Tensor]] = {}
    for network, manifest in manifests.items():
        arrays = record[network]
        if not isinstance(arrays, ArrayRecord):
            raise exchange_refusal("not an array record", network)
        unpacked[network] = manifest.unpack(arrays)
    return unpacked


def _read_header(record: RecordDict, adapter: TypeAdapter[Any]) -> Any:  # noqa: ANN401 - the adapter decides
    header = record.get(HEADER)
    if not isinstance(header, ConfigRecord) or list(header) != ["json"]:
        raise exchange_refusal("message has no header", HEADER)
    text = header["json"]
    if not isinstance(text, str) or len(text) > MAX_HEADER_BYTES:
        raise exchange_refusal("header is not text or is too large", HEADER)
    try:
        message: BaseModel = adapter.validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"])) or "json"
        raise exchange_refusal(f"header field {field}: {fault['type']}", HEADER) from error
    return message


def _with(record: RecordDict, header: ConfigRecord, salt: bytes) -> RecordDict:
    """The record with another header, and with its arrays masked; masking twice gives an array back."""
    masked = {
        network: ArrayRecord({name: _masked(array, name, salt) for name, array in arrays.items()})
        for network, arrays in record.array_records.items()
    }
    return RecordDict({**record, HEADER: header, **masked})


def _masked(array: Array, name: str, salt: bytes) -> Array:
    start = hashlib.sha256(name.encode()).digest()[:16]
    # AES in counter mode is the fastest stream of random bytes at hand.
    data = Cipher(algorithms.AES(salt), modes.CTR(start)).encryptor().update(array.data)
    return Array(array.dtype, tuple(array.shape), array.stype, data)
