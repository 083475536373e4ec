"""Messages and weights in Flower's records, and back, with every name and size checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from pydantic import BaseModel, TypeAdapter, ValidationError

from common.errors import ExitCode, Refusal
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
from common.exchange.weights import Manifest, Weights

HEADER = "header"
WEIGHT_RECORDS = ("generator", "discriminator")
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
            raise _invalid("unknown network", network)
        record[network] = manifest.pack(values)
    return record


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


def unpack_weights(record: RecordDict, manifests: Mapping[str, Manifest]) -> dict[str, dict[str, Any]]:
    """Weights by network; the record must hold exactly the networks named.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` if a network is missing, extra, or differs from its manifest.
    """
    if set(record) - {HEADER} != set(manifests):
        raise _invalid("networks differ from the manifest", "weights")
    unpacked: dict[str, dict[str, Any]] = {}
    for network, manifest in manifests.items():
        arrays = record[network]
        if not isinstance(arrays, ArrayRecord):
            raise _invalid("not an array record", network)
        unpacked[network] = manifest.unpack(arrays)
    return unpacked


def _read_header(record: RecordDict, adapter: TypeAdapter[Any]) -> Any:  # noqa: ANN401 - the adapter decides
    header = record.get(HEADER)
    if not isinstance(header, ConfigRecord) or list(header) != ["json"]:
        raise _invalid("message has no header", HEADER)
    text = header["json"]
    if not isinstance(text, str) or len(text) > MAX_HEADER_BYTES:
        raise _invalid("header is not text or is too large", HEADER)
    try:
        message: BaseModel = adapter.validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise _invalid(f"header field {'.'.join(map(str, fault['loc'])) or 'json'}: {fault['type']}", HEADER) from error
    return message


def _invalid(what: str, where: str) -> Refusal:
    return Refusal(
        ExitCode.EXCHANGE_INVALID,
        what,
        where=where,
        mend="check that both sides run the same release and study",
    )
