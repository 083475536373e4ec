"""An envelope is opened only if its key signed just these bytes, for this receiver, as this answer."""

from __future__ import annotations

import base64

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.exchange import (
    Kind,
    LedgerHead,
    RefusalCode,
    ReplyEnvelope,
    RequestEnvelope,
    new_nonce,
    opened_reply,
    opened_request,
    salted,
    sealed,
    unsalted,
)
from common.signatures import Purpose
from tests.letters import COORDINATOR, KEYS

SITE, OTHER = KEYS["north"], KEYS["south"]
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
NONCE = st.text("0123456789abcdef", min_size=32, max_size=32)
HEADS = st.builds(LedgerHead, sequence=st.integers(0, 10**9), hash=HEX)
REQUESTS = st.builds(
    RequestEnvelope,
    kind=st.sampled_from(Kind),
    study=HEX,
    run=st.from_regex(r"[0-9a-z][0-9a-z-]{0,20}", fullmatch=True),
    round=st.integers(0, 1_000_000),
    attempt=st.integers(1, 100),
    nonce=NONCE,
    sender=st.just(COORDINATOR.verifying.sha256),
    receiver=st.just(SITE.verifying.sha256),
    content=HEX,
    witnessed=st.none() | HEADS,
    answered_by=st.none() | NONCE,
)


def _reply(request: RequestEnvelope, **changes: object) -> ReplyEnvelope:
    fields = {
        "content": "a" * 64,
        "refusal": None,
        "process": new_nonce(),
        "ledger": LedgerHead(sequence=1, hash="b" * 64),
    }
    return ReplyEnvelope(request=request, **{**fields, **changes})


@settings(max_examples=30, deadline=None)
@given(request=REQUESTS)
def test_what_is_sealed_is_opened_unchanged(request: RequestEnvelope) -> None:
    text = sealed(request, COORDINATOR)
    assert opened_request(text, COORDINATOR.verifying, SITE.verifying.sha256) == request
    reply = _reply(request)
    assert opened_reply(sealed(reply, SITE), SITE.verifying, request) == reply


@settings(max_examples=60, deadline=None)
@given(request=REQUESTS, data=st.data())
def test_no_changed_byte_is_opened(request: RequestEnvelope, data: st.DataObject) -> None:
    text = sealed(request, COORDINATOR)
    position = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda c: c != text[position]))
    changed = text[:position] + letter + text[position + 1 :]
    try:
        opened = opened_request(changed, COORDINATOR.verifying, SITE.verifying.sha256)
    except Refusal as refusal:
        assert refusal.code is ExitCode.EXCHANGE_INVALID
    else:
        # Base64 has unused bits at its end: what they spell is the same signature of the same bytes.
        assert opened == request


@settings(max_examples=20, deadline=None)
@given(text=st.text(max_size=300))
def test_no_invented_text_is_opened(text: str) -> None:
    with pytest.raises(Refusal):
        opened_request(text, COORDINATOR.verifying, SITE.verifying.sha256)


@settings(max_examples=10, deadline=None)
@given(request=REQUESTS, other=REQUESTS)
def test_an_answer_to_another_request_is_not_opened(request: RequestEnvelope, other: RequestEnvelope) -> None:
    text = sealed(_reply(request), SITE)
    if other != request:
        with pytest.raises(Refusal, match="another request"):
            opened_reply(text, SITE.verifying, other)
    with pytest.raises(Refusal, match="does not hold"):
        opened_reply(text, OTHER.verifying, request)


def _request() -> RequestEnvelope:
    return RequestEnvelope(
        kind=Kind.TRAIN,
        study="1" * 64,
        run="run",
        round=1,
        attempt=1,
        nonce=new_nonce(),
        sender=COORDINATOR.verifying.sha256,
        receiver=SITE.verifying.sha256,
        content="2" * 64,
    )


def test_a_request_for_one_site_is_not_opened_by_another() -> None:
    text = sealed(_request(), COORDINATOR)
    with pytest.raises(Refusal, match="another site"):
        opened_request(text, COORDINATOR.verifying, OTHER.verifying.sha256)


def test_a_reply_passes_for_no_request_and_a_request_for_no_reply() -> None:
    request = _request()
    with pytest.raises(Refusal, match="does not hold"):
        opened_request(sealed(_reply(request), COORDINATOR), COORDINATOR.verifying, SITE.verifying.sha256)
    with pytest.raises(Refusal, match="does not hold"):
        opened_reply(sealed(request, SITE), SITE.verifying, request)


@pytest.mark.parametrize("changes", [{"content": ""}, {"refusal": RefusalCode.INTERNAL}], ids=["neither", "both"])
def test_an_answer_is_a_record_or_a_refusal(changes: dict[str, object]) -> None:
    request = _request()
    with pytest.raises(Refusal, match="neither"):
        opened_reply(sealed(_reply(request, **changes), SITE), SITE.verifying, request)


def test_what_was_signed_but_is_no_envelope_is_refused_without_its_words() -> None:
    body = b'{"direction":"request","note":"DOE^JOHN"}'
    signature = COORDINATOR.sign(Purpose.REQUEST, body)
    text = f"{base64.b64encode(body).decode()}.{base64.b64encode(signature).decode()}"
    with pytest.raises(Refusal, match="not well formed") as refused:
        opened_request(text, COORDINATOR.verifying, SITE.verifying.sha256)
    assert "DOE" not in str(refused.value)


@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=4000))
def test_salting_is_undone_and_gives_every_part_a_new_name_each_time(data: bytes) -> None:
    record = RecordDict({"header": ConfigRecord({"json": "{}"})})
    record["generator"] = ArrayRecord({"generator.0000": Array("uint8", (len(data),), "raw", data)})
    first, second = salted(record), salted(record)
    assert unsalted(first) == unsalted(second) == record
    names = [{content.object_id for content in copy.values()} for copy in (first, second)]
    pieces = [set(copy["generator"]["generator.0000"].children) for copy in (first, second)]
    assert not names[0] & names[1] or len(data) < 16
    assert not pieces[0] & pieces[1] or len(data) < 16


def test_a_record_without_salt_is_refused() -> None:
    for record in (RecordDict(), RecordDict({"header": ConfigRecord({"json": "{}"})})):
        with pytest.raises(Refusal, match="no salt"):
            unsalted(record)
