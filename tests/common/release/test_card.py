"""A card is canonical: what was written reads back, and any other bytes are refused in one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.release import NetworkCard
from common.study import Study

same_card = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
LINES = st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))


def reason(data: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        NetworkCard.from_bytes(data, "card.json")
    assert caught.value.code is ExitCode.RELEASE_CARD_INVALID
    assert "\n" not in str(caught.value)
    return caught.value.what


def changed(card: NetworkCard, **fields: object) -> bytes:
    document = json.loads(card.canonical_bytes()) | fields
    return (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode("ascii")


def test_absent_fields_are_left_out_and_read_back_as_absent(card: NetworkCard) -> None:
    assert b"reprojection_limit" not in card.canonical_bytes()
    tested_nowhere = card.model_copy(update={"held_out": None})
    assert b"held_out" not in tested_nowhere.canonical_bytes()
    assert NetworkCard.from_bytes(tested_nowhere.canonical_bytes(), "card.json") == tested_nowhere


def test_the_study_is_in_the_card_as_its_own_canonical_json(card: NetworkCard, study: Study) -> None:
    assert study.canonical_json().encode("ascii") in card.canonical_bytes()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format_version": 2}, "format_version"),
        ({"study_sha256": "0" * 64}, "study_sha256 is not the study's"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"round": 0}, "round"),
        ({"run": "\x1b[31m"}, "run"),
        ({"round": 3.0}, "canonical"),
        ({"reprojection_limit": -1.0}, "reprojection_limit"),
        ({"reprojection_limit": None}, "canonical"),
        ({"made_on": "yesterday"}, "made_on"),
        ({"limits": "none"}, "limits"),
    ],
)
def test_a_field_that_is_wrong_is_named(card: NetworkCard, fields: dict[str, object], words: str) -> None:
    assert words in reason(changed(card, **fields))


def test_a_name_twice_is_refused(card: NetworkCard) -> None:
    text = card.canonical_bytes()
    assert reason(text.replace(b'"round":3', b'"round":2,"round":3'))


@same_card
@given(LINES, st.floats(min_value=1e-12, max_value=1e12), st.text(st.characters(exclude_categories=["Cs"])))
def test_every_card_reads_back_to_the_byte(
    card: NetworkCard, lines: tuple[str, ...], limit: float, version: str
) -> None:
    fields = {"limits": lines, "reprojection_limit": limit, "versions": {version: version}}
    drawn = NetworkCard.model_validate(card.model_dump() | fields)
    assert NetworkCard.from_bytes(drawn.canonical_bytes(), "card.json") == drawn


@same_card
@given(data=st.data())
def test_whatever_stands_in_a_field_the_card_is_whole_or_refused(card: NetworkCard, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(NetworkCard.model_fields)))
    altered = changed(card, **{field: data.draw(JSON)})
    try:
        read = NetworkCard.from_bytes(altered, "card.json")
    except Refusal as refusal:
        assert refusal.code is ExitCode.RELEASE_CARD_INVALID
    else:
        assert read.canonical_bytes() == altered


@same_card
@given(data=st.data())
def test_no_bytes_break_the_reader(card: NetworkCard, data: st.DataObject) -> None:
    text = bytearray(card.canonical_bytes())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        assert NetworkCard.from_bytes(bytes(text), "card.json").canonical_bytes() == text
    except Refusal as refusal:
        assert refusal.code is ExitCode.RELEASE_CARD_INVALID


def test_nesting_does_not_break_the_reader() -> None:
    assert reason(b"[" * 100_000)
    assert reason(b'{"study":' * 50_000)
