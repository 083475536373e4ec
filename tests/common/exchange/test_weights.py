from __future__ import annotations

import math

import pytest
import torch
from flwr.app import Array, ArrayRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from common.errors import ExitCode, Refusal
from common.exchange import Manifest, TensorSpec, manifest_of, weights_of, weights_sha256
from common.study import WireDtype

SHAPES = st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=8)


def _manifest(shapes: list[tuple[int, ...]], dtype: WireDtype, bucket_bytes: int) -> Manifest:
    specs = tuple(TensorSpec(f"layer{i}.weight", shape) for i, shape in enumerate(shapes))
    return Manifest("generator", specs, dtype, bucket_bytes)


@given(SHAPES, st.sampled_from(list(WireDtype)), st.integers(1024, 4096))
def test_weights_come_back_rounded_to_the_wire_and_nothing_else(
    shapes: list[tuple[int, ...]], dtype: WireDtype, bucket_bytes: int
) -> None:
    manifest = _manifest(shapes, dtype, bucket_bytes)
    random = torch.Generator().manual_seed(7)
    weights = {spec.name: torch.randn(spec.shape, generator=random) for spec in manifest.tensors}
    wire = torch.float32 if dtype is WireDtype.FLOAT32 else torch.bfloat16
    unpacked = manifest.unpack(manifest.pack(weights))
    assert list(unpacked) == [spec.name for spec in manifest.tensors]
    assert all(torch.equal(unpacked[name], weights[name].to(wire).float()) for name in weights)


@given(SHAPES, st.integers(1024, 4096))
def test_buckets_keep_order_and_size(shapes: list[tuple[int, ...]], bucket_bytes: int) -> None:
    manifest = _manifest(shapes, WireDtype.FLOAT32, bucket_bytes)
    buckets = list(manifest.buckets())
    assert [spec for _, specs in buckets for spec in specs] == list(manifest.tensors)
    for _, specs in buckets:
        assert sum(spec.elements for spec in specs) * 4 <= bucket_bytes or len(specs) == 1


def test_small_tensors_share_a_bucket() -> None:
    manifest = _manifest([(3,)] * 200, WireDtype.BFLOAT16, 10 * 2**20)
    assert len(list(manifest.buckets())) == 1


def test_only_parameters_travel_never_buffers() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    names = {spec.name for spec in manifest_of("generator", module, WireDtype.FLOAT32, 1024).tensors}
    assert names == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert set(weights_of(module)) == names


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", list(WireDtype))
def test_values_that_are_not_finite_neither_leave_nor_enter(bad: float, dtype: WireDtype) -> None:
    manifest = _manifest([(4,)], dtype, 1024)
    with pytest.raises(Refusal, match="not finite"):
        manifest.pack({"layer0.weight": torch.tensor([0.0, bad, 1.0, 2.0])})
    wire = torch.float32 if dtype is WireDtype.FLOAT32 else torch.bfloat16
    data = torch.tensor([0.0, bad, 1.0, 2.0]).to(wire).view(torch.uint8).numpy().tobytes()
    stype = "raw.f32" if dtype is WireDtype.FLOAT32 else "raw.bf16"
    with pytest.raises(Refusal, match="not finite"):
        manifest.unpack(ArrayRecord({"generator.0000": Array(dtype.value, (4,), stype, data)}))


ARRAYS = st.builds(
    Array,
    dtype=st.sampled_from(["float32", "bfloat16", "float64", "int64", "object"]),
    shape=st.lists(st.integers(-1, 2**40), max_size=3).map(tuple),
    stype=st.sampled_from(["raw.f32", "raw.bf16", "numpy.ndarray", "pickle"]),
    data=st.binary(max_size=64),
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["generator.0000", "generator.0001", "x"]), ARRAYS, max_size=3))
def test_hostile_buckets_are_refused_or_fit_the_manifest(arrays: dict[str, Array]) -> None:
    manifest = _manifest([(4,)], WireDtype.FLOAT32, 1024)
    try:
        weights = manifest.unpack(ArrayRecord(arrays))
    except Refusal as refusal:
        assert refusal.code is ExitCode.EXCHANGE_INVALID
        return
    assert [tuple(tensor.shape) for tensor in weights.values()] == [(4,)]


def test_missing_extra_and_misshapen_parameters_do_not_leave() -> None:
    manifest = _manifest([(2, 2), (3,)], WireDtype.FLOAT32, 1024)
    good = {"layer0.weight": torch.zeros(2, 2), "layer1.weight": torch.zeros(3)}
    for wrong in (
        {"layer0.weight": torch.zeros(2, 2)},
        good | {"image": torch.zeros(1)},
        good | {"layer1.weight": torch.zeros(1, 3)},
    ):
        with pytest.raises(Refusal):
            manifest.pack(wrong)


def test_hash_depends_on_names_shapes_and_values_but_not_on_order() -> None:
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
    assert weights_sha256(weights) == weights_sha256(dict(reversed(weights.items())))
    assert weights_sha256(weights) != weights_sha256(weights | {"b": torch.tensor([3.0])})
    assert weights_sha256(weights) != weights_sha256(weights | {"a": torch.tensor([1.0, 2.0000002])})
