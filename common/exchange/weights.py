"""Network weights on the wire: a manifest both sides derive from the study, and buckets of raw numbers.

Only parameters travel. Buffers (running statistics, spectral-norm vectors, ray grids) are recomputed at each site.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor, nn

from common.errors import ExitCode, Refusal
from common.study import WireDtype

Weights = Mapping[str, Tensor]
"""Parameters by name, float32, on the CPU."""

_STYPE = {WireDtype.FLOAT32: "raw.f32", WireDtype.BFLOAT16: "raw.bf16"}
_TORCH = {WireDtype.FLOAT32: torch.float32, WireDtype.BFLOAT16: torch.bfloat16}


@final
@dataclass(frozen=True)
class TensorSpec:
    """Name and shape of one parameter."""

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@final
@dataclass(frozen=True)
class Manifest:
    """What one network's weights look like on the wire.

    Attributes:
        network: ``generator`` or ``discriminator``.
        tensors: parameters in the order they are packed.
        dtype: number format on the wire.
        bucket_bytes: largest bucket; a tensor larger than this gets a bucket of its own.
    """

    network: str
    tensors: tuple[TensorSpec, ...]
    dtype: WireDtype
    bucket_bytes: int

    @property
    def elements(self) -> int:
        """Number of parameters."""
        return sum(spec.elements for spec in self.tensors)

    @property
    def wire_bytes(self) -> int:
        """Bytes of the weights on the wire, without framing."""
        return self.elements * _TORCH[self.dtype].itemsize

    def buckets(self) -> Iterator[tuple[str, tuple[TensorSpec, ...]]]:
        """Names of the buckets with the parameters in each, in order."""
        limit = max(self.bucket_bytes // _TORCH[self.dtype].itemsize, 1)
        index, held, batch = 0, 0, list[TensorSpec]()
        for spec in self.tensors:
            if batch and held + spec.elements > limit:
                yield f"{self.network}.{index:04d}", tuple(batch)
                index, held, batch = index + 1, 0, []
            batch.append(spec)
            held += spec.elements
        if batch:
            yield f"{self.network}.{index:04d}", tuple(batch)

    def pack(self, weights: Weights) -> ArrayRecord:
        """Buckets of the weights, rounded to the wire's number format.

        Raises:
            Refusal: ``EXCHANGE_INVALID`` if a parameter is missing, extra, of another shape, or not finite.
        """
        self._check_names(weights)
        arrays = {name: self._encode(name, specs, weights) for name, specs in self.buckets()}
        return ArrayRecord(arrays)

    def unpack(self, record: ArrayRecord) -> dict[str, Tensor]:
        """Float32 weights from buckets, each checked against the manifest before it is decoded.

        Raises:
            Refusal: ``EXCHANGE_INVALID`` at the first bucket that is missing, extra, of another type or size, or
                holds a value that is not finite.
        """
        expected = dict(self.buckets())
        if list(record) != list(expected):
            raise exchange_refusal("bucket names differ from the manifest", self.network)
        weights: dict[str, Tensor] = {}
        for name, specs in expected.items():
            weights.update(self._decode(name, specs, record[name]))
        return weights

    def _check_names(self, weights: Weights) -> None:
        if set(weights) != {spec.name for spec in self.tensors}:
            raise exchange_refusal("parameter names differ from the manifest", self.network)
        for spec in self.tensors:
            if tuple(weights[spec.name].shape) != spec.shape:
                raise exchange_refusal("parameter shape differs from the manifest", spec.name)

    def _encode(self, name: str, specs: tuple[TensorSpec, ...], weights: Weights) -> Array:
        flat = torch.cat([weights[s.name].detach().to("cpu", torch.float32).reshape(-1) for s in specs])
        flat = flat.to(_TORCH[self.dtype])
        if not bool(torch.isfinite(flat).all()):
            raise exchange_refusal("weights are not finite", name)
        data = flat.contiguous().view(torch.uint8).numpy().tobytes()
        return Array(self.dtype.value, (flat.numel(),), _STYPE[self.dtype], data)

    def _decode(self, name: str, specs: tuple[TensorSpec, ...], array: Array) -> dict[str, Tensor]:
        elements = sum(spec.elements for spec in specs)
        wire = _TORCH[self.dtype]
        if (array.dtype, array.stype, tuple(array.shape)) != (
            self.dtype.value,
            _STYPE[self.dtype],
            (elements,),
        ):
            raise exchange_refusal("bucket type or shape differs from the manifest", name)
        if len(array.data) != elements * wire.itemsize:
            raise exchange_refusal("bucket size differs from the manifest", name)
        flat = _numbers(array.data, wire).to(torch.float32)
        if not bool(torch.isfinite(flat).all()):
            raise exchange_refusal("weights are not finite", name)
        parts = torch.split(flat, [spec.elements for spec in specs])
        return {spec.name: part.reshape(spec.shape).clone() for spec, part in zip(specs, parts, strict=True)}


def _numbers(data: bytes, dtype: torch.dtype) -> Tensor:
    # torch.frombuffer refuses an empty buffer.
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


def manifest_of(network: str, module: nn.Module, dtype: WireDtype, bucket_bytes: int) -> Manifest:
    """Manifest of a module's parameters."""
    tensors = tuple(TensorSpec(name, tuple(p.shape)) for name, p in module.named_parameters())
    return Manifest(network, tensors, dtype, bucket_bytes)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's parameters as wire weights: float32, on the CPU."""
    return {n: p.detach().to("cpu", torch.float32, copy=True) for n, p in module.named_parameters()}


def joined(networks: Mapping[str, Weights]) -> dict[str, Tensor]:
    """Several networks' weights under one roof, keyed ``network/parameter``; :func:`parted` undoes it."""
    return {f"{network}/{name}": tensor for network, weights in networks.items() for name, tensor in weights.items()}


def parted(weights: Weights) -> dict[str, dict[str, Tensor]]:
    """Weights by network from keys ``network/parameter``."""
    networks: dict[str, dict[str, Tensor]] = {}
    for key, tensor in weights.items():
        network, name = key.split("/", 1)
        networks.setdefault(network, {})[name] = tensor
    return networks


def weights_sha256(weights: Weights) -> str:
    """SHA-256 over names, shapes and little-endian float32 values in name order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().astype(np.dtype("<f4"), copy=False).tobytes())
    return digest.hexdigest()


def exchange_refusal(what: str, where: str) -> Refusal:
    """What breaks the wire contract, and where."""
    return Refusal(
        ExitCode.EXCHANGE_INVALID,
        what,
        where=where,
        mend="check that both sides run the same release and study",
    )
