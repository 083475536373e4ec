from __future__ import annotations

import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.exchange import (
    CohortFlow,
    EvaluateReply,
    Kind,
    Manifest,
    MethodStatistics,
    MetricSums,
    RegisterReply,
    RegisterRequest,
    Reply,
    TensorSpec,
    TrainLosses,
    TrainReply,
    TrainRequest,
    pack,
    read_reply,
    read_request,
    unpack_weights,
)
from common.roles import Role
from common.study import WireDtype

SHA = "a" * 64
LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2, adversarial=0.1, discriminator=0.3)
REPLIES: list[Reply] = [
    RegisterReply(
        study_sha256=SHA,
        run="r1",
        role=Role.TRAIN,
        train_cases=3,
        evaluation_cases=1,
        flow=CohortFlow(found=9, eligible=5, used=4, excluded={"not_ct": 4, "too_thick": 1}),
        release="0.1.0",
        device="cpu (1 threads)",
    ),
    TrainReply(study_sha256=SHA, run="r1", round=1, cases=3, steps=4, skipped_steps=0, seconds=1.5, losses=LOSSES),
    EvaluateReply(
        study_sha256=SHA,
        run="r1",
        round=1,
        cases=4,
        suppressed=False,
        seconds=0.1,
        methods=(
            MethodStatistics(
                method="generator", metrics={"psnr_db": MetricSums(cases=4, total=80.0, total_of_squares=1601.0)}
            ),
        ),
    ),
]


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.kind.value)
def test_replies_come_back_as_they_were(reply: Reply) -> None:
    assert read_reply(pack(reply), reply.kind) == reply


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.kind.value)
def test_a_reply_of_another_kind_is_refused(reply: Reply) -> None:
    for kind in set(Kind) - {reply.kind}:
        with pytest.raises(Refusal):
            read_reply(pack(reply), kind)


def test_requests_come_back_as_they_were() -> None:
    request = TrainRequest(study_sha256=SHA, run="r1", round=2)
    assert read_request(pack(request), Kind.TRAIN) == request


@pytest.mark.parametrize(
    "change",
    [
        {"patient": "DOE^JOHN"},
        {"cases": -1},
        {"cases": 1.5},
        {"cases": True},
        {"cases": "3"},
        {"round": 10**9},
        {"study_sha256": "A" * 64},
        {"run": "../x"},
        {"losses": {**LOSSES.model_dump(), "generator": float("inf")}},
        {"losses": {**LOSSES.model_dump(), "extra": 1.0}},
        {"seconds": -1.0},
    ],
    ids=str,
)
def test_fields_that_the_contract_does_not_name_or_bound_are_refused(change: dict[str, object]) -> None:
    import json

    document = json.loads(REPLIES[1].model_dump_json()) | change
    record = RecordDict({"header": ConfigRecord({"json": json.dumps(document)})})
    with pytest.raises(Refusal) as caught:
        read_reply(record, Kind.TRAIN)
    assert caught.value.code is ExitCode.EXCHANGE_INVALID


@settings(max_examples=200)
@given(
    st.one_of(st.text(max_size=400), st.binary(max_size=50), st.integers(), st.floats()), st.sampled_from(list(Kind))
)
def test_arbitrary_headers_are_refused_in_one_line(header: str | bytes | float, kind: Kind) -> None:
    record = RecordDict({"header": ConfigRecord({"json": header})})
    with pytest.raises(Refusal) as caught:
        read_reply(record, kind)
    assert "\n" not in str(caught.value)


def test_oversized_headers_are_refused_before_parsing() -> None:
    record = RecordDict({"header": ConfigRecord({"json": "{" + " " * 100_000 + "}"})})
    with pytest.raises(Refusal, match="too large"):
        read_reply(record, Kind.TRAIN)


def test_extra_records_beside_the_weights_are_refused() -> None:
    manifest = Manifest("generator", (TensorSpec("w", (2,)),), WireDtype.FLOAT32, 1024)
    record = pack(REPLIES[1], {"generator": (manifest, {"w": torch.zeros(2)})})
    assert set(unpack_weights(record, {"generator": manifest})["generator"]) == {"w"}
    for name, content in (
        ("image", ArrayRecord({"x": Array("float32", (1,), "raw.f32", b"\0\0\0\0")})),
        ("metrics", MetricRecord({"dose": 1.0})),
        ("notes", ConfigRecord({"name": "DOE^JOHN"})),
    ):
        hostile = RecordDict({**record, name: content})
        with pytest.raises(Refusal, match="networks differ"):
            unpack_weights(hostile, {"generator": manifest})


def test_cohort_flow_must_fall() -> None:
    with pytest.raises(ValueError, match="used <= eligible <= found"):
        CohortFlow(found=1, eligible=2, used=1)


def test_registration_holds_no_field_for_a_patient() -> None:
    allowed = {"study_sha256", "run", "kind", "role", "train_cases", "evaluation_cases", "flow", "release", "device"}
    assert set(RegisterReply.model_fields) == allowed
    assert set(RegisterRequest.model_fields) == {"study_sha256", "run", "kind"}
