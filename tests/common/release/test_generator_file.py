"""Weights are read as far as the study makes them, whatever a signed file's header says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from common.errors import ExitCode, Refusal
from common.networks import build_generator
from common.release.generator_file import MOST_HEADER_BYTES, generator_tensors, read_weights
from common.study import DiscriminatorSettings, GeneratorSettings, Networks, Study

Header = dict[str, dict[str, object]]


@pytest.fixture
def small(tiny: Callable[..., Study]) -> Study:
    return tiny()


@pytest.fixture
def content(small: Study) -> bytes:
    return save({name: p.detach() for name, p in build_generator(small).named_parameters()})


def reason(data: bytes, study: Study) -> str:
    with pytest.raises(Refusal) as caught:
        read_weights(bytearray(data), study, "generator.safetensors")
    assert caught.value.code is ExitCode.RELEASE_WEIGHTS_INVALID
    return caught.value.what


def parted(content: bytes) -> tuple[Header, bytes]:
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: str, body: bytes) -> bytes:
    text = header.encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def test_what_safetensors_writes_is_read_bit_for_bit(small: Study, content: bytes) -> None:
    read = read_weights(bytearray(content), small, "generator.safetensors")
    parameters = dict(build_generator(small).named_parameters())
    assert list(read) == list(parameters)
    assert all(torch.equal(read[name], parameters[name]) for name in parameters)


@pytest.mark.parametrize(
    "settings",
    [GeneratorSettings(name="x2ct"), GeneratorSettings(size="base"), GeneratorSettings(anatomy="learned")],
    ids=["x2ct", "base", "atlas"],
)
def test_shapes_are_those_of_the_network_and_cost_no_memory(study: Study, settings: GeneratorSettings) -> None:
    changed = study.model_copy(update={"networks": Networks(generator=settings)})
    built = {name: tuple(p.shape) for name, p in build_generator(changed).named_parameters()}
    assert {spec.name: spec.shape for spec in generator_tensors(changed)} == built


@pytest.mark.parametrize("width", [20_000, 1_000_000])
def test_a_study_of_absurd_size_is_refused_before_anything_is_read(study: Study, width: int) -> None:
    networks = Networks(
        generator=GeneratorSettings(width_2d=width, width_3d=width), discriminator=DiscriminatorSettings()
    )
    with pytest.raises(Refusal) as caught:
        generator_tensors(study.model_copy(update={"networks": networks}))
    assert caught.value.code is ExitCode.RELEASE_CARD_INVALID


@pytest.mark.parametrize("length", [0, 1, 2, MOST_HEADER_BYTES + 4, 1 << 40, (1 << 64) - 1])
def test_a_header_of_any_stated_length_is_refused(small: Study, content: bytes, length: int) -> None:
    assert reason(struct.pack("<Q", length) + content[8:], small)


def test_a_huge_header_is_refused(small: Study, content: bytes) -> None:
    header, body = parted(content)
    assert "header" in reason(joined(json.dumps(header) + " " * MOST_HEADER_BYTES, body), small)


def test_a_name_twice_is_refused(small: Study, content: bytes) -> None:
    header, body = parted(content)
    name = next(iter(header))
    text = json.dumps(header)
    twice = text[:-1] + f", {json.dumps(name)}: {json.dumps(header[name])}" + "}"
    assert "twice" in reason(joined(twice, body), small)


def test_a_file_cut_or_longer_is_refused(small: Study, content: bytes) -> None:
    for cut in (0, 7, 8, 100, len(content) - 1):
        assert reason(content[:cut], small)
    assert "longer or shorter" in reason(content + b"\0", small)


@pytest.mark.parametrize(
    "field", [{"dtype": "F64"}, {"dtype": "I32"}, {"shape": [1]}, {"data_offsets": [0, 4]}, {"extra": 1}]
)
def test_another_type_shape_or_place_is_refused(small: Study, content: bytes, field: dict[str, object]) -> None:
    header, body = parted(content)
    name = list(header)[-1]
    assert name in reason(joined(json.dumps(header | {name: header[name] | field}), body), small)


@pytest.mark.parametrize("change", ["missing", "extra", "metadata", "array", "deep"])
def test_other_names_are_refused(small: Study, content: bytes, change: str) -> None:
    header, body = parted(content)
    name = next(iter(header))
    changed: object = {
        "missing": {key: value for key, value in header.items() if key != name},
        "extra": header | {"__class__": header[name]},
        "metadata": header | {"__metadata__": {"format": "pt"}},
        "array": [header],
        "deep": header,
    }[change]
    text = "[" * 200_000 if change == "deep" else json.dumps(changed)
    assert reason(joined(text, body), small)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(small: Study, content: bytes, value: float) -> None:
    assert "finite" in reason(content[:-4] + struct.pack("<f", value), small)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_header_breaks_the_reader(small: Study, content: bytes, data: st.DataObject) -> None:
    """A change that is only another spelling of the same header may pass; the weights are then the same."""
    header_bytes = struct.unpack_from("<Q", content)[0] + 8
    changed = bytearray(content)
    place = data.draw(st.integers(0, header_bytes - 1))
    changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        read = read_weights(changed, small, "generator.safetensors")
    except Refusal as refusal:
        assert refusal.code is ExitCode.RELEASE_WEIGHTS_INVALID
    else:
        truth = read_weights(bytearray(content), small, "generator.safetensors")
        assert all(torch.equal(read[name], truth[name]) for name in truth)
